"""`muc serve-encoder`: one of the encoders behind a URL, for auditors who must not have its weights."""

from typing import Annotated

import typer

from muc_core.cli.output import JsonFlag, emit, note

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve_encoder(
    name: Annotated[str, typer.Argument(help="Name of an encoder, as `muc encoders` lists it.", show_default=False)],
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 is every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8600,
    key_environment: Annotated[
        str | None,
        typer.Option(help="Environment variable with the key that requests must bring.", metavar="VARIABLE"),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Serve an encoder over HTTP until Ctrl-C.

    Answers `POST /v1/embeddings` in three dialects: openai-image, jina and data-uri. Whoever can reach the address can
    embed pictures, and with many of them copy what the encoder does: use a key, and https in front of it, when it
    listens on more than this machine.
    """
    import socket

    import uvicorn

    from muc_core.encoders.remote.key import key_of_environment
    from muc_core.errors import MucError
    from muc_core.serving import serve
    from muc_core.workspace import Workspace

    workspace = Workspace()
    if workspace.encoder(name).manifest.family == "remote":
        raise MucError(f"{name!r} is behind a URL itself; give the auditor that address")
    key = None if key_environment is None else key_of_environment(key_environment)
    encoder = workspace.load(name)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise MucError(f"cannot listen on {host} port {port} ({error.strerror}); choose another with --port") from None
    with listener:
        url = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
        data = {
            "url": f"{url}/v1/embeddings",
            "model": encoder.name,
            "dimension": encoder.dimension,
            "image_size": encoder.image_size,
            "has_text": encoder.has_text,
            "dialects": ["openai-image", "jina", "data-uri"],
            "wants_key": key is not None,
        }
        kinds = "pictures and texts" if encoder.has_text else "pictures"
        emit(
            data,
            f"{encoder.name} answers at {data['url']} ({kinds}, {encoder.image_size} x {encoder.image_size} pixels, "
            f"{encoder.dimension} numbers). Ctrl-C stops it.",
            as_json=as_json,
        )
        if key is None and host not in LOOPBACK:
            note("Warning: there is no key, so whoever reaches this address can use the encoder.")
        config = uvicorn.Config(serve(encoder, key=key), log_level="warning", server_header=False)
        uvicorn.Server(config).run(sockets=[listener])
