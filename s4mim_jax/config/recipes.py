"""The published training settings that the configs of large datasets begin with.

V1: UniMatch (CVPR 2023) with SGD and a ResNet. V2: UniMatch V2 (TPAMI 2025) with AdamW and DINOv2. The settings are
those of the authors' configs; where a row is ours it says so. A recipe is applied before the method, so that a method
with settings of its own (`masksup_unet`) keeps them; `method.tau` of a recipe comes after the method.
"""

import dataclasses
import re

from s4mim_jax.config.errors import InputError

NAMES = ('v1', 'v2')
V2_METHODS = ('unimatch_v2',)  # begin with the V2 recipe unless recipe=v1 is said


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One column of the published tables.

    crop: side of the square crops. batch: global, labelled and as many unlabelled. epochs: passes over the unlabelled
    images. learning_rate: of the encoder at that batch. head_multiplier: of it for the rest. tau: for every method,
    None = the method's own. ohem: the labelled loss keeps hard pixels. sliding: evaluation by windows of the crop.
    """

    crop: int
    batch: int
    epochs: int
    learning_rate: float
    head_multiplier: float
    tau: float | None = None
    ohem: bool = False
    sliding: bool = False


@dataclasses.dataclass(frozen=True)
class Training:
    """images: of the whole training list. labeled: split name -> labelled images, for names that are no fraction."""

    images: int
    labeled: dict[str, int] = dataclasses.field(default_factory=dict)

    def count(self, split: str) -> int:
        """Labelled images of a split: by name, else from a fraction such as 1_16, u2pl_1_8 or seeded:1/8; all = 0.

        0 means that all images serve as unlabelled ones, which an unknown name is taken to mean as well.
        """
        if split in self.labeled:
            return self.labeled[split]
        fraction = re.search(r'(?:^|[_:])(\d+)[_/](\d+)$', split)
        return round(self.images * int(fraction[1]) / int(fraction[2])) if fraction else 0


def steps(recipe: Recipe, training: Training, split: str) -> int:
    """Updates of the recipe: epochs over the unlabelled images, the last partial batch of each dropped."""
    return recipe.epochs * ((training.images - training.count(split)) // recipe.batch)


def choose(recipes: dict[str, Recipe], name: str | None, method: str) -> tuple[str, Recipe]:
    """(name, recipe) that is asked for, or the method's: V2 for UniMatch V2, else V1.

    Raises:
      InputError: a name that there is not.
    """
    name = name or ('v2' if method in V2_METHODS else 'v1')
    if name not in recipes:
        raise InputError(f'recipe={name}: unknown\nvalid: {", ".join(recipes)}')
    return name, recipes[name]


def apply(config, name: str, recipe: Recipe, training: Training, split: str) -> None:
    """Sets everything of a recipe but `method.tau`."""
    config.data.crop = (recipe.crop, recipe.crop)
    config.batch.update(labeled=recipe.batch, unlabeled=recipe.batch)
    config.optimizer.update(learning_rate=recipe.learning_rate, head_multiplier=recipe.head_multiplier,
                            reference_batch=recipe.batch, schedule='poly', power=0.9)
    config.total_steps = steps(recipe, training, split)
    config.precision = 'auto'
    config.model.align_corners = True
    if recipe.ohem:
        config.method.update(supervised_loss='ohem', ohem_threshold=0.7, ohem_keep=0.156)
    config.eval.mode = 'sliding' if recipe.sliding else 'whole'
    (_v1 if name == 'v1' else _v2)(config)


def _v1(config) -> None:
    config.optimizer.update(name='sgd', momentum=0.9, weight_decay=1e-4)
    config.model.update(encoder='resnet50', stem='deep', decoder='deeplabv3plus', output_stride=16,
                        aspp_rates=(6, 12, 18), decoder_width=256, low_level_width=48)
    config.method.cutmix.partner = 'self_view'  # as released: another crop of the same image


def _v2(config) -> None:
    config.optimizer.update(name='adamw', b1=0.9, b2=0.999, weight_decay=0.01)
    config.model.update(encoder='dinov2_vits14', decoder='dpt')
    config.method.cutmix.partner = 'batch'
