"""Puts the fused attention into torchvision's ViT: the outputs stay the same.

python examples/attention_in_a_vit.py [IMAGE_SIZE]
"""

import sys

import torch
from torchvision.models import VisionTransformer

from slt_fast.integrations import use_pixel_attention

image_size = int(sys.argv[1]) if len(sys.argv) > 1 else 224
device = "cuda" if torch.cuda.is_available() else "cpu"

torch.manual_seed(0)
model = VisionTransformer(image_size, 16, 4, 4, 256, 1024, num_classes=10).to(device).eval()
torch.nn.init.normal_(model.heads.head.weight)  # torchvision starts it at zero
images = torch.rand(2, 3, image_size, image_size, device=device)

before = model(images)
print("modules swapped:", use_pixel_attention(model))
after = model(images)
print(f"largest difference: {(after - before).abs().max():.1e} of {before.abs().max():.1f}")
