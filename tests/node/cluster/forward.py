"""forward.py LISTEN NETNS TARGET: accepts on LISTEN in this network namespace, and dials TARGET in NETNS.

A socket stays in the namespace that it was made in: so it listens first, and then enters the other one.
"""
import asyncio
import ctypes
import os
import socket
import sys

CLONE_NEWNET = 0x40000000


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.close()


async def forward(reader, writer, target):
    try:
        far_reader, far_writer = await asyncio.open_connection(*target)
    except OSError:
        writer.close()
        return
    await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))
    writer.close()
    far_writer.close()


async def main():
    listen, namespace, target = sys.argv[1:4]
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(address(listen))
    server.listen(128)
    if ctypes.CDLL(None, use_errno=True).setns(os.open(namespace, os.O_RDONLY), CLONE_NEWNET):
        sys.exit("setns: " + os.strerror(ctypes.get_errno()))
    accepted = lambda reader, writer: forward(reader, writer, address(target))
    async with await asyncio.start_server(accepted, sock=server) as serving:
        await serving.serve_forever()


asyncio.run(main())
