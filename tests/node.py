"""Node and the official clients of other languages, as `make .venv/clients` installs them."""

import sys
from pathlib import Path

CLIENTS = Path(__file__).parent / "clients"
NODE = str(Path(sys.executable).parent / "node")
MODULES = CLIENTS / "node_modules"
