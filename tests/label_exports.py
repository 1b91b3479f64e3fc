"""The same two labels in the layouts of seven annotation tools, as small as they get."""

import base64
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from s4mim_jax.data.label_formats.run_lengths import brush_data, coco_text, counts_of

SIZE = (24, 32)
CLASSES = ('background', 'bug', 'leaf')
# A leaf of 20 x 16 with a bug of 4 x 4 in it, the bug named first in every file; (x, y) corners.
LEAF = [(4, 3), (24, 3), (24, 19), (4, 19)]
BUG = [(10, 6), (14, 6), (14, 10), (10, 10)]


def truth():
    """uint8 [24, 32]: what every export of this file says."""
    ids = np.zeros(SIZE, np.uint8)
    ids[3:19, 4:24] = 2
    ids[6:10, 10:14] = 1
    return ids


def picture(path: Path, seed: int = 0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


def write(path: Path, content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def labelme(root: Path, order=('leaf', 'bug')):
    """labelme 5: a JSON file beside each image; the bug as a bitmap, cut out of its box."""
    png = io.BytesIO()
    Image.fromarray(np.full((4, 4), 255, np.uint8)).save(png, 'png')
    shapes = {'leaf': {'label': 'leaf', 'points': LEAF, 'group_id': None, 'shape_type': 'polygon', 'flags': {}},
              'bug': {'label': 'bug', 'points': [(10, 6), (13, 9)], 'shape_type': 'mask', 'flags': {},
                      'mask': base64.b64encode(png.getvalue()).decode()}}
    point = {'label': 'leaf', 'points': [(1, 1)], 'shape_type': 'point', 'flags': {}}
    for number, name in enumerate(('a', 'plain')):
        picture(root / f'{name}.jpg', number)
    picture(root / 'val' / 'v.jpg', 5)
    for name, folder in (('a', root), ('v', root / 'val')):
        write(folder / f'{name}.json', {
            'version': '5.4.1', 'flags': {}, 'shapes': [*(shapes[n] for n in order), point],
            'imagePath': f'..\\photos\\{name}.jpg', 'imageData': None, 'imageHeight': 24, 'imageWidth': 32})
    return root


def coco(root: Path, form='polygon'):
    """The layout of COCO 2017: annotations/instances_*.json, train2017/, val2017/."""
    shapes = {}
    for name, points, category in (('bug', BUG, 7), ('leaf', LEAF, 3)):
        mask = truth() == 1 if name == 'bug' else truth() > 0
        counts = counts_of(mask.T).tolist()
        shapes[category] = {'polygon': [[v for point in points for v in point]],
                            'list': {'size': list(SIZE), 'counts': counts},
                            'text': {'size': list(SIZE), 'counts': coco_text(counts)}}[form]
    for number, (split, images) in enumerate((('train2017', ('a', 'plain')), ('val2017', ('v',)))):
        for i, name in enumerate(images):
            picture(root / split / f'{name}.jpg', 10 * number + i)
        write(root / f'annotations/instances_{split}.json', {
            'info': {}, 'licenses': [],
            'images': [{'id': i + 40, 'file_name': f'{name}.jpg', 'height': 24, 'width': 32}
                       for i, name in enumerate(images)],
            'annotations': [{'id': 1 + n, 'image_id': 40, 'category_id': c, 'segmentation': s, 'iscrowd': 0,
                             'bbox': [0, 0, 1, 1], 'area': 1} for n, (c, s) in enumerate(shapes.items())],
            'categories': [{'id': 3, 'name': 'leaf', 'supercategory': 'plant'},
                           {'id': 7, 'name': 'bug', 'supercategory': 'animal'}]})
        write(root / f'annotations/captions_{split}.json', {'images': [], 'annotations': []})
    return root


def label_studio(root: Path, small=False):
    """Uploaded images, one polygon in percent, one brush, and a task that nobody has done."""
    for number, name in enumerate(('a', 'plain', 'v')):
        picture(root / ('val' if name == 'v' else 'images') / f'{name}.png', number)
    common = {'original_width': 32, 'original_height': 24, 'image_rotation': 0}
    leaf = common | {'id': 'x1', 'type': 'polygonlabels', 'from_name': 'label', 'to_name': 'image', 'value': {
        'points': [(100 * x / 32, 100 * y / 24) for x, y in LEAF], 'closed': True, 'polygonlabels': ['leaf']}}
    bug = common | {'id': 'x2', 'type': 'brushlabels', 'from_name': 'brush', 'to_name': 'image', 'value': {
        'format': 'rle', 'rle': brush_data(truth() == 1), 'brushlabels': ['bug']}}
    tasks = []
    for number, name in enumerate(('a', 'plain', 'v')):
        url = f'/data/upload/4/0a1b2c3d-{name}.png'
        if small:
            task = {'id': number, 'image': url, 'annotator': 1}
            if name != 'plain':
                task |= {'brush': [common | bug['value']], 'label': [common | leaf['value']]}
        else:
            done = [{'id': 9, 'result': [bug, leaf], 'was_cancelled': False}]
            task = {'id': number, 'data': {'image': url}, 'predictions': [],
                    'annotations': [{'id': 8, 'result': [leaf], 'was_cancelled': True}] if name == 'plain' else done}
        tasks.append(task)
    write(root / 'project-4-at-2026-05-01.json', tasks)
    return root


def cvat(root: Path):
    """CVAT for images 1.1: the bug, first in the file, lies above the leaf by its z_order."""
    names = ''.join(f'<label><name>{n}</name><color>{c}</color><type>any</type></label>'
                    for n, c in (('bug', '#ff0000'), ('leaf', '#00ff00')))
    points = ';'.join(f'{x}.00,{y}.00' for x, y in LEAF)
    # Runs along the rows of the box: here the whole box of 4 x 4.
    bug = '<mask label="bug" occluded="0" rle="0, 16" left="10" top="6" width="4" height="4" z_order="1"/>'
    leaf = f'<polygon label="leaf" source="manual" occluded="0" points="{points}" z_order="0"></polygon>'
    line = '<polyline label="leaf" points="1,1;5,5" z_order="0"/>'
    images = (('a', 'Train', bug + leaf + line), ('plain', 'Train', ''), ('v', 'Validation', bug + leaf))
    entries = ''.join(f'<image id="{i}" name="{name}.jpg" subset="{split}" width="32" height="24">{shapes}</image>'
                      for i, (name, split, shapes) in enumerate(images))
    write(root / 'annotations.xml', f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta>'
          f'<project><labels>{names}</labels></project></meta>{entries}</annotations>')
    for number, (name, split) in enumerate((('a', 'Train'), ('plain', 'Train'), ('v', 'Validation'))):
        picture(root / 'images' / split / f'{name}.jpg', number)
    return root


def cvat_masks(root: Path):
    """CVAT Segmentation mask 1.1: colours of labelmap.txt, background last."""
    write(root / 'labelmap.txt', '# label:color_rgb:parts:actions\nbug:250,50,83::\nleaf:51,221,255::\n'
          'background:0,0,0::\n')
    colors = np.array([(0, 0, 0), (250, 50, 83), (51, 221, 255)], np.uint8)
    for number, (name, split) in enumerate((('a', 'train'), ('v', 'val'))):
        picture(root / 'JPEGImages' / f'{name}.jpg', number)
        for kind in ('Class', 'Object'):
            path = root / f'Segmentation{kind}/{name}.png'
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(colors[truth()]).save(path)
        write(root / f'ImageSets/Segmentation/{split}.txt', f'{name}\n')
    picture(root / 'JPEGImages' / 'plain.jpg', 7)
    return root


def roboflow(root: Path):
    """Roboflow's masks: a table and gray masks in every split's folder, val called valid."""
    for split, names in (('train', ('a', 'plain')), ('valid', ('v',))):
        write(root / split / '_classes.csv', 'Pixel Value, Class\n0, background\n2, leaf\n1, bug\n')
        for number, name in enumerate(names):
            picture(root / split / f'{name}_jpg.rf.0123.jpg', number)
            if name != 'plain':
                Image.fromarray(truth()).save(root / split / f'{name}_jpg.rf.0123_mask.png')
    write(root / 'README.roboflow.txt', 'exported')
    return root


def yolo(root: Path):
    """Ultralytics' layout, the paths of data.yaml as Roboflow writes them."""
    line = lambda number, points: f'{number} ' + ' '.join(f'{x / 32:.6f} {y / 24:.6f}' for x, y in points)
    for split, names in (('train', ('a', 'plain')), ('val', ('v',))):
        for number, name in enumerate(names):
            picture(root / f'images/{split}/{name}.jpg', number)
            write(root / f'labels/{split}/{name}.txt',
                  '' if name == 'plain' else line(0, BUG) + '\n' + line(1, LEAF) + '\n')
    write(root / 'data.yaml', 'train: ../images/train\nval: ../images/val\ntest: ../test/images\nnc: 2\n'
          "names: ['bug', 'leaf']\n")
    return root
