"""A plain ZeroMQ app on the bus, for the demo.

bus.py ports                        three free ports of 127.0.0.1
bus.py wait MANAGE_PORT             wait until the broker answers
bus.py publish SUB_PORT FILE        publish the STIX-2 indicators of a file
"""

import json
import signal
import socket
import sys
import time

import zmq

# How long anything here may take, in seconds.
LIMIT = 20


def ports():
    """Prints three ports that nobody listens on."""
    # Open at the same time, so that they differ.
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    print(*(each.getsockname()[1] for each in sockets))


def wait(manage_port):
    """Waits until the broker answers a heartbeat, if only with an error."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        request = zmq.Context.instance().socket(zmq.REQ)
        request.linger = 0
        request.connect(f"tcp://127.0.0.1:{manage_port}")
        request.send_json({"action": "heartbeat", "topic": "demo"})
        if request.poll(250):
            return
        request.close()
    sys.exit("the broker does not answer")


def publish(sub_port, path):
    """Publishes each line of the file, once the broker listens."""
    publisher = zmq.Context.instance().socket(zmq.XPUB)
    publisher.connect(f"tcp://127.0.0.1:{sub_port}")
    subscriptions = set()
    while b"\x01stix2/" not in subscriptions:
        if not publisher.poll(LIMIT * 1000):
            sys.exit("the broker does not listen for indicators")
        subscriptions.add(publisher.recv())
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            indicator = json.loads(line)
            print(f"   {indicator['name']:18} {indicator['pattern']}", flush=True)
            publisher.send_string(f"stix2/indicator {line.strip()}")
    publisher.close(LIMIT * 1000)
    zmq.Context.instance().term()


def main():
    # Ctrl-C ends the demo without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    action, *arguments = sys.argv[1:]
    {"ports": ports, "wait": wait, "publish": publish}[action](*arguments)


if __name__ == "__main__":
    main()
