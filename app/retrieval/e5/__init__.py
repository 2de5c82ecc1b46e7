"""multilingual-e5-small in this process, without a download."""

import os

# onnxruntime's releases keep telemetry in the home directory and send it to Microsoft unless this
# is set before they are imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from app.retrieval.e5.embedder import E5Embedder  # after the variable is set

__all__ = ["E5Embedder"]
