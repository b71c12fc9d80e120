"""Makes a model repository for Triton's Python backend and becomes the server of it, which the package nvidia-pytriton brings.

triton_server.py <model.onnx> <folder> <http port> <grpc port>
"""

import os
import shutil
import sys
from pathlib import Path

import onnxruntime as ort
import pytriton

MODEL, FOLDER, HTTP, GRPC = Path(sys.argv[1]).resolve(), Path(sys.argv[2]), sys.argv[3], sys.argv[4]


def spec_text(specs):
    return ", ".join(
        f'{{ name: "{each.name}" data_type: TYPE_FP32 dims: [ {", ".join(map(str, each.shape[1:]))} ] }}' for each in specs
    )


session = ort.InferenceSession(str(MODEL), providers=["CPUExecutionProvider"])
repository, backends = FOLDER / "models", FOLDER / "backends"
(repository / "model" / "1").mkdir(parents=True)
shutil.copy(Path(__file__).with_name("triton_model.py"), repository / "model" / "1" / "model.py")
(repository / "model" / "config.pbtxt").write_text(
    f"""name: "model"
backend: "python"
max_batch_size: 1
input [ {spec_text(session.get_inputs())} ]
output [ {spec_text(session.get_outputs())} ]
instance_group [ {{ kind: KIND_CPU count: {os.cpu_count()} }} ]
parameters {{ key: "path" value: {{ string_value: "{MODEL}" }} }}
"""
)
package = Path(pytriton.__file__).parent
binaries = package / "tritonserver"
shutil.copytree(binaries / "backends", backends)
version = f"{sys.version_info.major}.{sys.version_info.minor}"
stub = backends / "python" / "triton_python_backend_stub"
shutil.copy(binaries / "python_backend_stubs" / version / stub.name, stub)
# The stub is an interpreter of its own: it finds this environment by the path of its Python, as if that had been started.
libraries = [str(package.parent / "nvidia_pytriton.libs"), os.path.join(sys.base_prefix, "lib")]
path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
environment = {**os.environ, "PATH": path, "LD_LIBRARY_PATH": ":".join(libraries)}
server = str(binaries / "bin" / "tritonserver")
address = "127.0.0.1"
flags = [f"--model-repository={repository}", f"--backend-directory={backends}", f"--http-address={address}", f"--grpc-address={address}"]
flags += [f"--http-port={HTTP}", f"--grpc-port={GRPC}", "--allow-metrics=false", "--log-info=false"]
os.execve(server, [server, *flags], environment)
