"""What a label map holds, for everything that reads one; stands on nothing."""

IGNORE = 255  # label of a pixel that is neither trained on nor scored
