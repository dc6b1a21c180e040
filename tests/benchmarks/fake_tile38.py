"""A server that speaks just enough of Tile38's protocol: fences as channels, points, and messages of enters and exits.

As a program it takes Tile38's options; its answers have the shape of the real one's, whatever it does not know is an error.
"""

import argparse
import asyncio
import json

import hiredis
import shapely


class Fleet:
    """Fences, where everybody is, and who listens."""

    def __init__(self):
        self.fences = {}
        self.places = {}
        self.listeners = []

    def answer(self, command, writer):
        name, *words = (word.decode() for word in command)
        match name, words:
            case "PING", []:
                return b"+PONG\r\n"
            case "PSUBSCRIBE", ["*"]:
                self.listeners.append(writer)
                return hiredis.pack_command(("psubscribe", "*")).replace(b"*2", b"*3", 1) + b":1\r\n"
            case "SETCHAN", [fence, "INTERSECTS", "fleet", "FENCE", "DETECT", "enter,exit", "OBJECT", geometry]:
                self.fences[fence] = shapely.from_geojson(geometry)
                return b":1\r\n"
            case "SETCHAN", [fence, "INTERSECTS", "fleet", "FENCE", "DETECT", "enter,exit", "CIRCLE", lat, lon, metres]:
                self.fences[fence] = shapely.Point(float(lon), float(lat)).buffer(float(metres) / 111_320)
                return b":1\r\n"
            case "SET", ["fleet", device, "POINT", lat, lon]:
                self.move(device, shapely.Point(float(lon), float(lat)))
                return b"+OK\r\n"
            case "PUBLISH", [channel, payload]:
                self.publish(channel, payload)
                return b":%d\r\n" % len(self.listeners)
        return b"-ERR unknown command\r\n"

    def move(self, device, place):
        before = self.places.get(device)
        self.places[device] = place
        for fence, shape in self.fences.items():
            was, now = before is not None and shape.covers(before), shape.covers(place)
            if was != now:
                told = {"command": "set", "detect": "enter" if now else "exit", "hook": fence, "key": "fleet"}
                told |= {"id": device, "object": json.loads(shapely.to_geojson(place))}
                self.publish(fence, json.dumps(told))

    def publish(self, channel, payload):
        for writer in self.listeners:
            writer.write(hiredis.pack_command(("pmessage", "*", channel, payload)))

    async def serve(self, reader, writer):
        parser = hiredis.Reader()
        while data := await reader.read(65536):
            parser.feed(data)
            while (command := parser.gets()) is not False:
                writer.write(self.answer(command, writer))
        writer.close()


async def main():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("-h", dest="host", required=True)
    parser.add_argument("-p", type=int, required=True)
    parser.add_argument("-d", required=True)
    parser.add_argument("-q", action="store_true")
    parser.add_argument("--appendonly", choices=["yes", "no"], default="yes")
    options = parser.parse_args()
    server = await asyncio.start_server(Fleet().serve, options.host, options.p)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
