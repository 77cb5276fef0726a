"""optuna-dashboard on the journal of a store: `python study/run.py --dashboard results/tradeoff-laptop`."""

import importlib.util
import socket
from pathlib import Path

from study.store import StoreError, open_study
from trainables.checks import InputError, check_range

HOST, PORT = "127.0.0.1", 8080


def serve(store: Path, port: int | None = None) -> int:
    """Serve the journal to this machine alone, also while a driver is writing it, until Ctrl-C.

    Raises:
        InputError: There is no journal or it cannot be read, the port is taken, or optuna-dashboard is not installed.
    """
    port = PORT if port is None else port
    check_range("--port", port, 1, 65_535)
    journal = open_study(store).path / "optuna.journal"
    if not journal.exists():
        raise StoreError(f"store {store} has no optuna.journal; only --search tradeoff writes one")
    if not importlib.util.find_spec("optuna_dashboard"):
        raise InputError("optuna-dashboard is not installed; pip install 'capacity-study[dashboard]'")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a server that has just ended is no obstacle
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise InputError(f"port {port} cannot be used ({error.strerror}); give another --port") from None
    from optuna_dashboard import run_server

    from study.journal import read_journal

    storage = read_journal(journal)
    print(f"the dashboard of {store}: http://{HOST}:{port} (Ctrl-C ends it)", flush=True)
    run_server(storage, host=HOST, port=port)
    return 0
