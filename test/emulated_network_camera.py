"""A RealSense on the network, in a process of its own: the SDK's own device server, found by serial number.

`python emulated_network_camera.py DOMAIN SERIAL` serves 160x120 at 15 Hz until it is killed, which unplugs it.
"""

import sys
import time

import numpy as np
import pyrealsense2.pyrealdds as dds

WIDTH, HEIGHT, RATE = 160, 120, 15


def lens(focal):
    made = dds.video_intrinsics()
    made.width, made.height = WIDTH, HEIGHT
    made.focal_length.x = made.focal_length.y = focal
    made.principal_point.x, made.principal_point.y = WIDTH / 2, HEIGHT / 2
    made.distortion.model, made.distortion.coeffs = dds.distortion_model.brown, [0.0] * 5
    return {made}


def beside(x):
    made = dds.extrinsics()
    made.rotation, made.translation = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), (x, 0.0, 0.0)
    return made


def stream(kind, name, sensor, encoding, focal, options):
    made = kind(name, sensor)
    made.init_profiles([dds.video_stream_profile(RATE, encoding, WIDTH, HEIGHT)], 0)
    made.init_options(options)
    made.set_intrinsics(lens(focal))
    return made


class NetworkCamera:
    """Serve colour and depth."""

    def __init__(self, domain, serial):
        self.participant = dds.participant()
        self.participant.init(domain, "emulated-camera")
        encodings = dds.video_encoding
        unit = dds.option.from_json(["Depth Units", 0.001, 1e-6, 0.01, 1e-6, 0.001, "metres per unit", ["read-only"]])
        self.color = stream(dds.color_stream_server, "Color", "RGB Camera", encodings.rgb, 160.0, [])
        self.depth = stream(dds.depth_stream_server, "Depth", "Stereo Module", encodings.z16, 96.0, [unit])
        root = f"realdds/D555_{serial}"  # with one slash: with more, readers and writers do not meet
        about = {"name": "Intel RealSense D555", "serial": serial, "product-line": "D500", "topic-root": root}
        information = dds.message.device_info.from_json(about)
        self.server = dds.device_server(self.participant, root)
        self.server.on_control(lambda *_: True)
        self.bridge = dds.stream_sensor_bridge()
        self.bridge.init([self.color, self.depth])
        self.bridge.on_start_sensor(lambda *_: None)
        self.bridge.on_stop_sensor(lambda *_: None)
        self.bridge.on_error(lambda error: print(error, file=sys.stderr))
        extrinsics = {("Depth", "Color"): beside(0.015), ("Color", "Depth"): beside(-0.015)}
        self.server.init([self.color, self.depth], [], extrinsics)
        self.server.broadcast(information)

    def serve(self, number):
        rng = np.random.default_rng(number)
        now = dds.now().to_ns()
        depth = rng.integers(500, 900, (HEIGHT, WIDTH), np.uint16)
        color = rng.integers(40, 200, (HEIGHT, WIDTH, 3), np.uint8)
        for target, data, encoding, size in (
            (self.depth, depth, dds.video_encoding.z16, 2),
            (self.color, color, dds.video_encoding.rgb, 3),
        ):
            if not target.is_streaming():
                continue
            image = dds.message.image()
            image.width, image.height, image.step = WIDTH, HEIGHT, WIDTH * size
            image.encoding, image.data, image.timestamp = str(encoding), bytearray(data), dds.time.from_ns(now)
            target.publish_image(image)


def main():
    camera = NetworkCamera(int(sys.argv[1]), sys.argv[2])
    for number in range(10**9):
        camera.serve(number)
        time.sleep(1 / RATE)


if __name__ == "__main__":
    main()
