"""docs/iam-*.json against what Ray's AWS provider calls in its installed sources; AWS is not asked."""

import ast
import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CLUSTER = yaml.safe_load((ROOT / "cluster.yaml").read_text())
PERSON, HEAD = "iam-policy.json", "iam-head.json"
BOTH, NONE = (PERSON, HEAD), ()

NO_ROLE = "ray-autoscaler-v1 is not made: cluster.yaml names the head's role"
NOT_CACHED = "cache_stopped_nodes is false: machines are not stopped, nor started again"
NO_WATCH = "no CloudWatch"
CALLS: dict[str, tuple[str | None, tuple[str, ...], str]] = {
    "ec2.create_key_pair": ("ec2:CreateKeyPair", (PERSON,), ""),
    "ec2.key_pairs.filter": ("ec2:DescribeKeyPairs", (PERSON,), ""),
    "ec2.describe_instance_types": ("ec2:DescribeInstanceTypes", (PERSON,), ""),
    "ec2.describe_launch_template_versions": ("ec2:DescribeLaunchTemplateVersions", NONE, "no launch template"),
    "ec2.security_groups.filter": ("ec2:DescribeSecurityGroups", (PERSON,), ""),
    "ec2.subnets.all": ("ec2:DescribeSubnets", (PERSON,), ""),
    "ec2.subnets.filter": ("ec2:DescribeSubnets", (PERSON,), ""),
    "client.create_security_group": ("ec2:CreateSecurityGroup", (PERSON,), ""),
    "target_security_group.authorize_ingress": ("ec2:AuthorizeSecurityGroupIngress", (PERSON,), ""),
    "self.ec2.instances.filter": ("ec2:DescribeInstances", BOTH, ""),
    "self.ec2.meta.client.create_tags": ("ec2:CreateTags", BOTH, ""),
    "self.ec2.meta.client.terminate_instances": ("ec2:TerminateInstances", BOTH, ""),
    "node.terminate": ("ec2:TerminateInstances", BOTH, ""),
    "self.ec2_fail_fast.create_instances": ("ec2:RunInstances", BOTH, ""),
    "self.ec2.meta.client.start_instances": ("ec2:StartInstances", NONE, NOT_CACHED),
    "self.ec2.meta.client.stop_instances": ("ec2:StopInstances", NONE, NOT_CACHED),
    "node.stop": ("ec2:StopInstances", NONE, NOT_CACHED),
    "node.wait_until_stopped": ("ec2:DescribeInstances", NONE, NOT_CACHED),
    "self.ec2.meta.client.describe_images": ("ec2:DescribeImages", NONE, NO_WATCH),
    "client.create_instance_profile": ("iam:CreateInstanceProfile", NONE, NO_ROLE),
    "iam.InstanceProfile": (None, NONE, "a name, not a call"),
    "iam.Role": (None, NONE, "a name, not a call"),
    "iam.create_role": ("iam:CreateRole", NONE, NO_ROLE),
    "profile.add_role": ("iam:AddRoleToInstanceProfile", NONE, NO_ROLE),
    "profile.load": ("iam:GetInstanceProfile", NONE, NO_ROLE),
    "role.attach_policy": ("iam:AttachRolePolicy", NONE, NO_ROLE),
    "role.load": ("iam:GetRole", NONE, NO_ROLE),
}
"""What Ray asks of boto3: the permission that it takes, whose policy has it, and why nobody's has where none has."""
BESIDE = {
    PERSON: {"iam:PassRole", "ssm:GetParameters", "s3:ListBucket", "s3:GetObject"},
    HEAD: {"ssm:GetParameters", "s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject",
           "s3:AbortMultipartUpload"},
}  # fmt: skip
"""What AWS wants for the head's role and for the image's name, and what `--results s3://` takes."""
READS = re.compile(r"ec2:Describe\w+")


def statements(name: str) -> list[dict[str, Any]]:
    return json.loads((ROOT / "docs" / name).read_text())["Statement"]


def allowed(name: str) -> set[str]:
    return {action for statement in statements(name) for action in statement["Action"]}


def calls() -> set[str]:
    """Every call of a boto3 object in Ray's provider, as it is written there."""
    objects = re.compile(r"(self\.)?(ec2|ec2_fail_fast|iam|client|role|profile|node|target_security_group)\.\w[\w.]*")
    spec = find_spec("ray.autoscaler")
    assert spec
    assert spec.origin
    found = set()
    for file in ("config.py", "node_provider.py"):
        tree = ast.parse((Path(spec.origin).parent / "_private" / "aws" / file).read_text())
        written = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        later = {name for name in written if name.endswith(("terminate_instances", "stop_instances"))}
        found |= {name for name in called | later if objects.fullmatch(name)}
    return found


def test_every_call_of_rays_provider_is_known() -> None:
    assert calls() == set(CALLS)  # a new release of Ray that asks for more is seen here, not at the launch


@pytest.mark.parametrize("name", [PERSON, HEAD])
def test_a_policy_allows_what_is_called_and_nothing_else(name: str) -> None:
    needed = {action for action, whose, _ in CALLS.values() if action and name in whose}
    assert allowed(name) == needed | BESIDE[name]


def test_what_nobody_may_do_has_its_reason_in_the_cluster_file() -> None:
    assert all(bool(whose) != bool(why) for _, whose, why in CALLS.values())
    assert CLUSTER["provider"]["cache_stopped_nodes"] is False
    assert "cloudwatch" not in CLUSTER["provider"]
    kinds = CLUSTER["available_node_types"]
    assert not any("LaunchTemplate" in kind["node_config"] for kind in kinds.values())
    assert [name for name, kind in kinds.items() if "IamInstanceProfile" in kind["node_config"]] == ["head"]


@pytest.mark.parametrize("name", [PERSON, HEAD])
def test_a_policy_follows_the_grammar(name: str) -> None:
    policy = json.loads((ROOT / "docs" / name).read_text())
    assert set(policy) == {"Version", "Statement"}
    assert policy["Version"] == "2012-10-17"
    assert len(json.dumps(policy, separators=(",", ":"))) < 6144  # of a managed policy
    names = [statement["Sid"] for statement in statements(name)]
    assert len(set(names)) == len(names)
    for statement in statements(name):
        assert set(statement) <= {"Sid", "Effect", "Action", "Resource", "Condition"}
        assert statement["Effect"] == "Allow"
        assert re.fullmatch(r"[A-Za-z0-9]+", statement["Sid"])
        assert all(re.fullmatch(r"(ec2|ssm|iam|s3):[A-Z]\w+", action) for action in statement["Action"])
        for operator, keys in statement.get("Condition", {}).items():
            assert operator == "StringEquals"
            assert all(re.fullmatch(r"(aws|ec2|iam):[\w/-]+", key) for key in keys)


@pytest.mark.parametrize("name", [PERSON, HEAD])
def test_a_policy_is_of_this_cluster_alone(name: str) -> None:
    cluster, region = CLUSTER["cluster_name"], CLUSTER["provider"]["region"]
    for statement in statements(name):
        resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        conditions = statement.get("Condition", {}).get("StringEquals", {})
        if "*" in resources:
            assert all(READS.fullmatch(action) for action in statement["Action"])
            assert conditions == {"aws:RequestedRegion": region}
        for resource in set(resources) - {"*"}:
            service = resource.split(":")[2]
            assert resource.split(":")[3] == ("" if service in ("iam", "s3") else region)
            assert all(action.startswith(f"{service}:") for action in statement["Action"])
            if ":instance/" in resource or "AuthorizeSecurityGroupIngress" in str(statement["Action"]):
                assert set(conditions) & {
                    "aws:RequestTag/ray-cluster-name", "aws:ResourceTag/ray-cluster-name", "ec2:CreateAction"
                }  # fmt: skip
        tags = [value for key, value in conditions.items() if key.endswith("ray-cluster-name")]
        assert tags in ([], [cluster])


@pytest.mark.parametrize(("name", "heads"), [(PERSON, True), (HEAD, False)])
def test_a_policy_starts_the_machines_of_the_cluster_file(name: str, heads: bool) -> None:
    kinds = CLUSTER["available_node_types"]
    wanted = {
        kind["node_config"]["InstanceType"]
        for key, kind in kinds.items()
        if (key == CLUSTER["head_node_type"]) == heads
    }
    started = [statement["Condition"]["StringEquals"].get("ec2:InstanceType") for statement in statements(name)
               if statement["Action"] == ["ec2:RunInstances"] and "Condition" in statement]  # fmt: skip
    assert [set(types) for types in started] == [wanted]
    role = kinds["head"]["node_config"]["IamInstanceProfile"]["Name"]
    assert heads == (f"arn:aws:iam::*:role/{role}" in [statement["Resource"] for statement in statements(name)])
