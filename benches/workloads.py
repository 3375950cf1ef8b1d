"""The workloads that benches/run measures, made from a fixed seed."""

import gzip
import hashlib
import io
import json
import os
import random
import tarfile

BASE = "{registry}/library/debian:bookworm"


def write(path, content):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "wb" if isinstance(content, bytes) else "w") as file:
        file.write(content)


def manifest(registry):
    return (
        f'registry base "{registry}" {{ insecure #true }}\n'
        'build app {\n    context "."\n    dockerfile "Dockerfile"\n    tar "out.tar" format=oci\n}\n'
    )


def images(root, registry):
    """W1 (4,000 files, 136 MB, two RUN), W2 (one 20 MB file), W3 (20 RUN), W4 (4 stages), big (300 MB in 5 layers)."""
    rng = random.Random(7)
    base = BASE.format(registry=registry)
    words = [bytes(rng.choices(b"abcdefghijklmnopqrstuvwxyz_(){};=\n ", k=rng.randint(3, 12))) for _ in range(5000)]
    for i in range(4000):
        size = min(int(rng.paretovariate(1.1) * 6000), 2_000_000)
        # A fifth of the files does not compress.
        data = rng.randbytes(size) if i % 5 == 0 else b" ".join(rng.choices(words, k=max(1, size // 8)))
        write(f"{root}/w1/src/pkg{i % 80:02d}/mod{i % 7}/f{i:04d}.dat", data)
    write(
        f"{root}/w1/Dockerfile",
        f"FROM {base}\nWORKDIR /app\nCOPY src/pkg00 /app/deps\nRUN echo deps > /app/deps.lock\nCOPY src /app/src\n"
        'RUN find /app/src -type f | sort | md5sum > /app/manifest.md5\nENV APP=1\nCMD ["/bin/bash"]\n',
    )
    write(f"{root}/w2/app", rng.randbytes(20_000_000))
    write(
        f"{root}/w2/Dockerfile",
        f'FROM {registry}/library/busybox:latest\nCOPY app /usr/bin/app\nENTRYPOINT ["/usr/bin/app"]\n',
    )
    runs = "".join(f"RUN echo {i} > /opt/f{i}\n" for i in range(20))
    write(f"{root}/w3/Dockerfile", f"FROM {base}\n{runs}")
    stages = "".join(f"FROM base AS s{i}\nRUN sleep 1; head -c 5000000 /dev/urandom > /out{i}\n" for i in range(4))
    copies = "".join(f"COPY --from=s{i} /out{i} /out{i}\n" for i in range(4))
    write(f"{root}/w4/Dockerfile", f"FROM {base} AS base\n{stages}FROM base\n{copies}")
    for i in range(5):
        write(f"{root}/big/f{i}", rng.randbytes(60_000_000))
    write(f"{root}/big/Dockerfile", "FROM scratch\n" + "".join(f"COPY f{i} /f{i}\n" for i in range(5)))
    for name in ("w1", "w2", "w3", "w4", "big"):
        write(f"{root}/{name}/imgmake.kdl", manifest(registry))
        write(f"{root}/{name}/.dockerignore", "imgmake.kdl\nout.tar\n.imgmake\nDockerfile\n.dockerignore\n")


def many(root, count=40000):
    """So many small files, 170 MB, a fifth of them noise, in one COPY."""
    rng = random.Random(9)
    words = [bytes(rng.choices(b"abcdefghijklmnopqrstuvwxyz_(){};=\n ", k=rng.randint(3, 12))) for _ in range(5000)]
    for i in range(count):
        size = rng.randint(500, 8000)
        data = rng.randbytes(size) if i % 5 == 0 else b" ".join(rng.choices(words, k=max(1, size // 8)))
        write(f"{root}/src/p{i % 200:03d}/m{i % 7}/f{i:05d}.dat", data)


def half_noise(path, size=800_000_000):
    """One file, half of which does not compress."""
    rng = random.Random(11)
    words = [bytes(rng.choices(b"abcdefghijklmnopqrstuvwxyz_(){};=\n ", k=rng.randint(3, 12))) for _ in range(5000)]
    part = 1 << 20
    with open(path, "wb") as file:
        for _ in range(size // part // 2):
            file.write(rng.randbytes(part))
            file.write(b" ".join(rng.choices(words, k=part // 7))[:part])


def graph(root, targets=1000, inputs=20):
    """The null graph: the same commands for imgmake and for ninja."""
    for i in range(targets):
        for j in range(inputs):
            write(f"{root}/in/t{i:04d}/f{j}", f"{i} {j}\n" * 20)
    ninja = ["rule r\n  command = cat $in > $out\n"]
    kdl = []
    for i in range(targets):
        earlier = f"out/t{i - 10:04d}" if i >= 10 else ""
        files = " ".join(f"in/t{i:04d}/f{j}" for j in range(inputs))
        ninja.append(f"build out/t{i:04d}: r {files} {earlier}\n")
        also = f' "{earlier}"' if earlier else ""
        kdl.append(
            f'run t{i:04d} {{\n    command "cat in/t{i:04d}/f* {earlier} > out/t{i:04d}"\n'
            f'    inputs "in/t{i:04d}/*"{also}\n    outputs "out/t{i:04d}"\n}}\n'
        )
    kdl.append("group default " + " ".join(f"t{i:04d}" for i in range(targets)) + "\n")
    write(f"{root}/build.ninja", "".join(ninja))
    write(f"{root}/imgmake.kdl", "".join(kdl))
    os.makedirs(f"{root}/out", exist_ok=True)


def large_archive(path, size):
    """An OCI archive with one layer of this size, noise that nothing can compress."""
    blobs = {}

    def blob(text):
        data = json.dumps(text).encode()
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"digest": f"sha256:{digest}", "size": len(data)}

    layer = f"{path}.layer"
    diff, sum_ = hashlib.sha256(), hashlib.sha256()

    class Tee:
        def __init__(self, file, digest):
            self.file, self.digest = file, digest

        def write(self, data):
            self.digest.update(data)
            return self.file.write(data)

        def flush(self):
            self.file.flush()

    with open(layer, "wb") as file, gzip.GzipFile(fileobj=Tee(file, sum_), mode="wb", compresslevel=0, mtime=0) as zipped:
        with tarfile.open(fileobj=Tee(zipped, diff), mode="w|", bufsize=1 << 20) as tar:
            entry = tarfile.TarInfo("noise")
            entry.size = size
            with open("/dev/urandom", "rb") as noise:
                tar.addfile(entry, noise)
    length = os.path.getsize(layer)
    config = blob({"architecture": "amd64", "os": "linux", "config": {}, "history": [{"created_by": "noise"}],
                   "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff.hexdigest()}"]}})
    oci = "application/vnd.oci.image"
    manifest = blob({"schemaVersion": 2, "mediaType": f"{oci}.manifest.v1+json",
                     "config": {"mediaType": f"{oci}.config.v1+json", **config},
                     "layers": [{"mediaType": f"{oci}.layer.v1.tar+gzip", "digest": f"sha256:{sum_.hexdigest()}", "size": length}]})
    index = {"schemaVersion": 2, "manifests": [{"mediaType": f"{oci}.manifest.v1+json", **manifest}]}
    with tarfile.open(path, "w") as tar:
        def add(name, data):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))

        add("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        add("index.json", json.dumps(index).encode())
        for digest, data in blobs.items():
            add(f"blobs/sha256/{digest}", data)
        tar.add(layer, f"blobs/sha256/{sum_.hexdigest()}")
    os.remove(layer)
