"""Compile caches and models that somebody made to do harm."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.chaos.kinds import MODEL
from benchmarks.chaos.parts import Case, Part, References
from benchmarks.chaos.trying import Try
from pixart_tui import __version__
from pixart_tui.caches.cache_archive import SCHEMA_VERSION
from pixart_tui.caches.compile_cache import CompileCache

Member = tuple[tarfile.TarInfo, bytes]
_FLIPS: Final = 40
_NAME: Final = "inductor/a/b"
_LARGE: Final = 1 << 40


def _cases(_references: References) -> list[Case]:
    found = [Case(f"archive: {name}", partial(_load, make)) for name, make in _MEMBERS.items()]
    found += [Case(f"archive: a byte changed, {n}", _flip) for n in range(_FLIPS)]
    found += [
        Case("archive: ten gigabytes of zeros", _bomb),
        Case("archive: no archive", partial(_load_bytes, b"not at all")),
        Case("archive: empty", partial(_load_bytes, b"")),
        Case("archive: a link to somebody's file", _linked_archive),
    ]
    return found + [
        Case(f"model: {name}", partial(_model, spoil)) for name, spoil in _SPOILS.items()
    ]


def _file(name: str, content: bytes = b"code", **fields: Any) -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def _manifest(names: dict[str, bytes], **fields: Any) -> Member:
    files = {
        name: {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in names.items()
    }
    kind = CompileCache.of("cpu").kind.model_dump()
    said = {"schema_version": SCHEMA_VERSION, "pixart_tui": __version__, "kind": kind}
    return _file("manifest.json", json.dumps({**said, "files": files, **fields}).encode())


def _named(name: str, **fields: Any) -> list[Member]:
    """A file under a name that the manifest knows too."""
    return [_manifest({name: b"code"}), _file(name, **fields)]


def _huge(name: str) -> list[Member]:
    info, content = _file(name)
    manifest = _manifest({name: content})
    said = json.loads(manifest[1])
    said["files"][name]["size_bytes"] = _LARGE
    return [_file("manifest.json", json.dumps(said).encode()), (info, content)]


def _link(kind: bytes, target: str) -> list[Member]:
    return [
        _manifest({"inductor/a/b": b"code"}),
        _file("inductor/a", b"", type=kind, linkname=target),
        _file(_NAME),
    ]


_MEMBERS: Final[dict[str, Callable[[Try], list[Member]]]] = {
    "harmless": lambda _: _named(_NAME),
    "up by ..": lambda _: _named("inductor/../../../others/canary"),
    "up, not in the manifest": lambda _: [_manifest({}), _file("../../others/canary")],
    "an absolute name": lambda one: _named(f"{one.others}/canary"),
    "another folder": lambda _: _named("bin/sh"),
    "a hidden name": lambda _: _named("inductor/.a/b"),
    "a control character": lambda _: _named("inductor/a\x1b[2J/b"),
    "a name of 5000 letters": lambda _: _named("inductor/" + "a" * 5000),
    "a surrogate": lambda _: [_file("manifest.json", b'{"files": {"inductor/\\ud800": {}}}')],
    "a symbolic link": lambda one: _link(tarfile.SYMTYPE, str(one.others)),
    "a hard link": lambda one: _link(tarfile.LNKTYPE, str(one.others / "canary")),
    "a link by the manifest's name": lambda one: [
        _manifest({_NAME: b""}),
        _file(_NAME, b"", type=tarfile.SYMTYPE, linkname=str(one.others / "canary")),
    ],
    "a device": lambda _: _named(_NAME, type=tarfile.CHRTYPE),
    "a pipe": lambda _: _named(_NAME, type=tarfile.FIFOTYPE),
    "a sparse file": lambda _: _named(_NAME, type=tarfile.GNUTYPE_SPARSE),
    "a terabyte": lambda _: _huge(_NAME),
    "the same twice": lambda _: [*_named(_NAME), _file(_NAME, b"evil")],
    "a file and a folder": lambda _: [
        _manifest({"inductor/a": b"x", _NAME: b"code"}),
        _file("inductor/a", b"x"),
        _file(_NAME),
    ],
    "no manifest": lambda _: [_file(_NAME)],
    "a list as manifest": lambda _: [_file("manifest.json", b"[]")],
    "deep nesting": lambda _: [_file("manifest.json", b"[" * 200_000)],
    "another content": lambda _: [_manifest({_NAME: b"good"}), _file(_NAME, b"evil")],
    "another machine": lambda _: [_manifest({}, kind={"device_name": "\x1b[2J"})],
    "a newer format": lambda _: [_manifest({}, schema_version=99)],
    "a million names": lambda _: [_manifest({f"inductor/a/{n}": b"" for n in range(100_000)})],
}


def _packed(members: list[Member]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def _load(make: Callable[[Try], list[Member]], one: Try) -> None:
    _load_bytes(_packed(make(one)), one)


def _load_bytes(data: bytes, one: Try) -> None:
    path = one.out / "cache.tar.gz"
    path.write_bytes(data)
    found = one.command("cache", "load", path.name, "--device", "cpu", limit_s=120.0)
    odd = [
        entry
        for entry in one.place.rglob("*")
        if entry.is_file() and entry.read_bytes() in (b"evil", b"code")
    ]
    inside = CompileCache.of("cpu").directory
    for entry in odd:
        if inside not in entry.parents or found.code:
            one.blame("foreign", f"{entry.relative_to(one.place)} was written")
    if b"\x1b[2J" in found.out + found.err:
        one.blame("wrong", "a control sequence reached the terminal")


def _flip(one: Try) -> None:
    data = bytearray(_packed(_named(_NAME)))
    place = one.random.randrange(len(data))
    data[place] ^= one.random.randint(1, 255)
    one.what += f" at {place}"
    _load_bytes(bytes(data), one)


def _bomb(one: Try) -> None:
    """Zeros that are small packed; the manifest says how many, so that they are looked at."""
    path = one.out / "cache.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as packed:
        info, content = _manifest({})
        packed.write(info.tobuf(tarfile.PAX_FORMAT) + content)
        packed.write(bytes(-len(content) % 512))
        large, _ = _file(_NAME)
        large.size = 10 << 30
        packed.write(large.tobuf(tarfile.PAX_FORMAT))
        for _ in range(64):
            packed.write(bytes(1 << 20))
    found = one.command("cache", "load", path.name, "--device", "cpu", limit_s=120.0)
    if found.code == 0:
        one.blame("wrong", "it was taken")


def _linked_archive(one: Try) -> None:
    (one.out / "cache.tar.gz").symlink_to(one.others / "canary")
    one.command("cache", "load", "cache.tar.gz", "--device", "cpu")
    one.command("cache", "save", "cache.tar.gz", "--device", "cpu")


class _Payload:
    """Runs a command where it is unpickled."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch '{self._target}'",))


def _pickle(folder: Path, name: str, mark: Path) -> None:
    (folder / name).write_bytes(pickle.dumps(_Payload(mark)))


def _zip_pickle(folder: Path, name: str, mark: Path) -> None:
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(_Payload(mark)))
        archive.writestr("archive/version", "3\n")


def _weights(folder: Path) -> Path:
    found = next(folder.glob("*.safetensors"))
    found.unlink()
    return found


def _spoil_transformer(model: Path, mark: Path) -> None:
    _weights(model / "transformer")
    _pickle(model / "transformer", "diffusion_pytorch_model.bin", mark)


def _spoil_zip(model: Path, mark: Path) -> None:
    _weights(model / "transformer")
    _zip_pickle(model / "transformer", "diffusion_pytorch_model.bin", mark)


def _spoil_text_encoder(model: Path, mark: Path) -> None:
    _weights(model / "text_encoder")
    _zip_pickle(model / "text_encoder", "pytorch_model.bin", mark)


def _spoil_renamed(model: Path, mark: Path) -> None:
    path = _weights(model / "vae")
    _pickle(model / "vae", path.name, mark)


def _spoil_code(model: Path, mark: Path) -> None:
    (model / "transformer" / "harm.py").write_text(f"open({str(mark)!r}, 'w')\n")
    index = model / "model_index.json"
    said = json.loads(index.read_bytes())
    said["transformer"] = ["harm", "PixArtTransformer2DModel"]
    said["_class_name"] = ["harm", "PixArtAlphaPipeline"]
    index.write_text(json.dumps(said))


def _spoil_auto_map(model: Path, mark: Path) -> None:
    (model / "text_encoder" / "harm.py").write_text(f"open({str(mark)!r}, 'w')\n")
    path = model / "text_encoder" / "config.json"
    auto = {"auto_map": {"AutoModel": "harm.T5EncoderModel", "AutoConfig": "harm.T5Config"}}
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **auto}))


def _spoil_nothing(_model: Path, _mark: Path) -> None:
    """So that it is known that the others could be loaded but for what was done to them."""


_SPOILS: Final[dict[str, Callable[[Path, Path], None]]] = {
    "harmless": _spoil_nothing,
    "a pickle for weights": _spoil_transformer,
    "a zipped pickle for weights": _spoil_zip,
    "a zipped pickle for a text encoder": _spoil_text_encoder,
    "a pickle that is called safetensors": _spoil_renamed,
    "classes of its own": _spoil_code,
    "code named by its config": _spoil_auto_map,
}


def _model(spoil: Callable[[Path, Path], None], one: Try) -> None:
    from pixart_tui.engine.loading import load_pipeline

    model, mark = one.out / "model", one.place / "harm was done"
    pid = os.fork()
    if not pid:
        import torch

        loaded = load_pipeline(MODEL, dtype=torch.float32, device=torch.device("cpu"))
        loaded.pipeline.save_pretrained(str(model))
        os._exit(0)
    os.waitpid(pid, 0)
    spoil(model, mark)
    found = one.command(
        *("generate", "--model", str(model), "--scheduler", "none", "--steps", "2"),
        *("--warmups", "0", "--device", "cpu", "--display", "none", "--prompt", "red apple"),
        *("--extra-call-kwargs", '{"use_resolution_binning": false}'),
        limit_s=120.0,
    )
    if mark.exists():
        one.blame("foreign", "code of the model was run")
    if spoil is _spoil_nothing and found.code:
        one.blame("wrong", f"a good model: {found.text[-200:]}")


PARTS: Final = (Part("archives", "hostile archives and models", (), _cases),)
