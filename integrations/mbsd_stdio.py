"""`mbsd tag --stdio` as a process that stays: Arrow record batches of products in, the same with their tags out.

Needs pyarrow, and the program `mbsd` on the path (or its path in `MBSD`).
"""

import os
import subprocess
import tempfile
import threading

import pyarrow as pa

# Of this process, by their arguments: an executor that is used again finds its graphs loaded.
_processes = {}


def process(arguments):
    """The process for these arguments of `mbsd tag`; started where there is none, or where it has ended."""
    key = tuple(arguments)
    if key not in _processes or _processes[key].process.poll() is not None:
        _processes[key] = TagProcess(arguments)
    return _processes[key]


class TagProcess:
    """Answers one stream of batches after the other."""

    def __init__(self, arguments):
        command = [os.environ.get("MBSD", "mbsd"), "tag", "--stdio", *arguments]
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log
        )

    def tag(self, schema, batches):
        """Yields the results of `batches`, in their order. One at a time may be under way."""
        failures = []
        sender = threading.Thread(target=self._send, args=(schema, batches, failures), daemon=True)
        sender.start()
        whole = False
        try:
            yield from pa.ipc.open_stream(self.process.stdout)
            sender.join()
            whole = not failures
        except (pa.ArrowInvalid, OSError) as error:
            self.process.wait()
            sender.join()
            self.log.seek(0)
            said = self.log.read().decode(errors="replace").strip()
            raise RuntimeError(f"mbsd ended: {said}") from (failures or [error])[0]
        finally:
            # Whatever is left of a stream would be taken for the beginning of the next.
            if not whole:
                self.process.kill()
        if failures:
            raise failures[0]

    def _send(self, schema, batches, failures):
        try:
            with pa.ipc.new_stream(self.process.stdin, schema) as writer:
                for batch in batches:
                    writer.write_batch(batch)
            self.process.stdin.flush()
        except BaseException as error:  # told by `tag`, in the thread that asked
            failures.append(error)
            self.process.kill()
