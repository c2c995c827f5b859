"""Questions about a clip with their only right answers."""
from vocabulary import FPS, FRAMES, LABELS, QUESTIONS


def boxes(objects):
    """[(label, x1, y1, x2, y2)] as the JSON the model writes; pixels of the resized frame."""
    return '[{"bbox_2d":[' + '"},{"bbox_2d":['.join(f'{a},{b},{c},{d}],"label":"{label}' for label, a, b, c, d in objects) + '"}]' if objects else "[]"


def points(objects):
    return '[{"point_2d":[' + '"},{"point_2d":['.join(f'{(a + c) // 2},{(b + d) // 2}],"label":"{label}' for label, a, b, c, d in objects) + '"}]' if objects else "[]"


def seen(video, frame):
    """The objects of a frame from left to right, in whole pixels."""
    return sorted(((b[0], *(int(round(c)) for c in b[1:])) for b in video.boxes[frame]), key=lambda b: (b[1], b[2]))


def begins(v):
    """When the event of a clip begins, as it is told: a freeze to the whole second from which on the picture stands, for frames, half a second apart, are looked at in pairs."""
    kind, first = v.event
    return f"{-(-first // FPS)} s" if kind == "freeze" else f"{first / FPS:.1f} s"


def picture_phrase(v):
    if v.kind in ("pattern", "other"):
        phrase = v.picture
    elif v.kind == "ball":
        phrase = ("moving ball" if v.moves else "ball") + " on " + v.picture
    else:
        last = seen(v, -1) or seen(v, 0)
        phrase = ", ".join(b[0] for b in last) + (" on " if last else "") + v.picture
    if v.event:
        (kind, first), at = v.event, begins(v)
        phrase += ", " + {"freeze": "frozen from " + at if first else "frozen", "black": "black from " + at, "back": "back at " + at}[kind]
    return phrase


def fault(v, a):
    found = []
    if v and v.event:
        (kind, first), at = v.event, begins(v)
        found.append({"freeze": "Video frozen from " + at if first else "Video frozen", "black": "Black from " + at, "back": "Black until " + at}[kind])
    elif v and v.kind == "pattern" and v.picture == "black screen":
        found.append("Black picture")
    elif v and v.kind == "pattern" and v.picture == "snow":
        found.append("No signal")
    if a and a.lost is not None:
        found.append(f"Audio lost at {a.lost:.1f} s")
    elif a and a.kind == "silence":
        found.append("No audio")
    return ". ".join(found or ["No fault"]) + "."


def zone(box, shape):
    w, h = FRAMES[shape]
    x, y = (box[1] + box[3]) / 2 / w, (box[2] + box[4]) / 2 / h
    return f"{'top' if y < 1 / 3 else 'bottom' if y > 2 / 3 else 'middle'} {'left' if x < 1 / 3 else 'right' if x > 2 / 3 else 'center'}"


def direction(velocity):
    """None where neither axis clearly wins."""
    x, y = velocity
    if abs(x) + abs(y) < 2:
        return "still"
    if abs(abs(x) - abs(y)) < .25 * max(abs(x), abs(y)):
        return None
    return ("right" if x > 0 else "left") if abs(x) > abs(y) else ("down" if y > 0 else "up")


def caption(v, a):
    return " ".join(([f"Video: {picture_phrase(v)}."] if v else []) + ([f"Audio: {a.phrase}."] if a else []))


def answers(v, a, r):
    """[(kind, answer, label or None)]; v or a is None where the clip has no picture or no sound."""
    out = [("caption", caption(v, a), None), ("fault", fault(v, a), None)]
    if a:
        out += [("audio", a.phrase + ".", None), ("word", " ".join(a.words) or ("speech" if a.kind == "other speech" else "nothing"), None)]
    if v:
        objects = seen(v, -1)
        labels = [o[0] for o in objects]
        out += [("video", picture_phrase(v) + ".", None), ("count", str(len(objects)), None), ("detect", boxes(objects), None)]
        asked = r.choice(labels) if labels and r.random() < .9 else r.choice(LABELS)
        found = [o for o in objects if o[0] == asked]
        out += [("find", boxes(found), asked), ("point", points(found), asked)]
        if len(found) == 1:
            out.append(("where", zone(found[0], v.shape), asked))
            way = direction(v.velocity[asked]) if asked in v.velocity else None
            if way and len(v.frames) > 1:
                out.append(("motion", way, asked))
    return out


def question(kind, label, r=None):
    return (r.choice(QUESTIONS[kind]) if r else QUESTIONS[kind][0]).format(label)
