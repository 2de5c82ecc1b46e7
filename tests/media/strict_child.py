"""The child that decodes, ended by the kernel at the first file or socket that it tries to open."""

from app.media.child import handle
from app.media.decoding import warm_up
from app.sandbox import seccomp, serve

if __name__ == "__main__":
    seccomp._REFUSE = 0x80000000  # end the process
    warm_up()
    serve(handle, str)
