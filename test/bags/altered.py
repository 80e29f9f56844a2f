"""Copies of the small bag in which something is not as it should be."""

import numpy as np
from damage import FRONT_COLOR, FRONT_DEPTH, IMAGES, SMALL_BAG, WRIST_DEPTH, stored, write

from tristage_ros.bags.messages import as_current, types_of, typestore
from tristage_ros.bags.reader import BagReader

JOINTS, STATUS, INFO = "/joint_states", "/arm/status", "/front/color/camera_info"
__all__ = ["FRONT_COLOR", "FRONT_DEPTH", "IMAGES", "INFO", "JOINTS", "SMALL_BAG", "STATUS", "WRIST_DEPTH"]


def without(path, *topics):
    return write(path, [m for m in stored() if m.topic not in topics])


def thinned(path, every):
    """Keep one of `every` images and depth images of a camera."""
    counts = dict.fromkeys(IMAGES, -1)

    def kept(message):
        if message.topic not in counts:
            return True
        counts[message.topic] += 1
        return counts[message.topic] % every == 0

    return write(path, [m for m in stored() if kept(m)])


def edited(path, topic, edit):
    """Have `edit` change every message of `topic`, which it is given with its number."""
    with BagReader(SMALL_BAG) as bag:
        store = types_of(bag.connections)
    result, number = [], -1
    for message in stored():
        if message.topic == topic:
            number += 1
            value = as_current(store.deserialize_cdr(message.data, message.kind))
            for name, field in vars(value).items():
                if isinstance(field, np.ndarray):  # which may not be written: it is the message's own memory
                    setattr(value, name, field.copy())
            edit(value, number)
            data = bytes(typestore().serialize_cdr(value, message.kind))
            message = message._replace(data=data, definition=None)
        result.append(message)
    return write(path, result)
