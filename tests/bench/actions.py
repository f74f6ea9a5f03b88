"""What a list of actions costs beside the re-broadcast: microseconds of CPU from payload to queued delivery.

``python tests/bench/actions.py``; one client, no network in the figures. It exits 0 when it could measure.
"""

import time

import uvloop

from signalpost.testing import App, serve

ROUNDS, MESSAGES = 100, 100
PAYLOAD = b'{"message":"hello world"}'
LISTS = {
    "re-broadcast to everyone": "{path: /0}",
    "re-broadcast to the path": "{path: /1, rebroadcast: path}",
    "broadcast a fixed text": "{path: /2, do: [{broadcast: {value: fixed}}]}",
    "broadcast the message": '{path: /3, do: [{broadcast: {value: "{{ message }}"}}]}',
    "… to the path": '{path: /4, do: [{broadcast: {value: "{{ message }}", path: "{{ path }}"}}]}',
    "broadcast a text with it": '{path: /5, do: [{broadcast: {value: "<{{ message }}>"}}]}',
    "if and broadcast": (
        """{path: /6, do: [{if: "{{ message | lower == 'hi' }}", then: [{stop: true}]}, """
        """{broadcast: {value: "{{ message }}"}}]}"""
    ),
    "count and broadcast": (
        """{path: /7, do: [{set: {count: "{{ state.count | default(0) + 1 }}"}}, """
        """{broadcast: {value: "{{ state.count }}"}}]}"""
    ),
}


async def microseconds(app: App, path: str) -> float:
    """Give what a message costs on a path: a lower quartile, since other work only ever adds."""
    async with app.connect(path) as client:
        (connection,) = app.server._sockets.connections
        rounds = []
        for _ in range(ROUNDS):
            start = time.process_time()
            for _ in range(MESSAGES):
                connection._conversation.receive(1, PAYLOAD)
            rounds.append(time.process_time() - start)
            for _ in range(MESSAGES):
                await client.receive()
        return sorted(rounds)[ROUNDS // 4] / MESSAGES * 1e6


async def main() -> None:
    """Measure all lists and print them."""
    signals = "\n".join(f"  - {signal}" for signal in LISTS.values())
    endpoints = "endpoints: [{name: live, address: 127.0.0.1, port: 0, protocol: ws}]\nlimits: {rate: 0}"
    async with serve(f"{endpoints}\nsignals:\n{signals}\n") as app:
        for number, name in enumerate(LISTS):
            print(f"{name:26} {await microseconds(app, f'/{number}'):6.2f} us")


if __name__ == "__main__":
    uvloop.run(main())
