"""Makes tiny vision-language models of real architectures with random weights, in the format of save_pretrained.

They say readable words that depend on the image: all weights are large, and only some words have a row in the output layer.
"""

from pathlib import Path
from typing import Any

from shoal_plugins.embed._torchvision import mend_torchvision

MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]
WORDS = [
    "red", "green", "blue", "grey", "bright", "dark", "small", "large", "round", "old", "new", "wooden", "metal", "quiet",
    "busy", "cat", "dog", "bird", "fish", "tree", "stone", "river", "street", "tower", "drum", "globe", "hammer", "wheel",
    "sky", "grass", "sits", "stands", "turns", "shines", "under", "near", "above", "beside", "with", "and", "the", "of",
]  # fmt: skip
CHAT = (
    "{% for turn in messages %}<|im_start|>{{ turn.role }}\n"
    "{% for part in turn.content %}{% if part.type == 'text' %}{{ part.text }}{% else %}PICTURE{% endif %}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _tokenizer(**roles: str) -> Any:
    """Bytes as tokens, so that any text is read; the words are tokens that only the model's output has."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*letters, *(f"\u0120{word}" for word in WORDS)]  # how byte-level BPE writes a word after a space
    made = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in [*MARKS, "<|video_pad|>"]])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|endoftext|>", unk_token="<|endoftext|>",
        padding_side="left", model_max_length=2048, clean_up_tokenization_spaces=False, extra_special_tokens=roles,
    )  # fmt: skip


def _text(tokenizer: Any, **more: Any) -> dict[str, Any]:
    return {
        "vocab_size": 320, "hidden_size": 128, "intermediate_size": 192, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "max_position_embeddings": 2048, "tie_word_embeddings": False, "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, **more,
    }  # fmt: skip


def _llava() -> tuple[Any, Any]:
    """A CLIP tower of 16 patches before a Qwen2; its processor needs no torchvision."""
    import transformers as t

    tokenizer = _tokenizer(image_token="<image>")
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = t.LlavaConfig(
        vision_config=t.CLIPVisionConfig(**tower, image_size=56, patch_size=14, projection_dim=32),
        text_config=t.Qwen2Config(**_text(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=16, vision_feature_layer=-1, vision_feature_select_strategy="default", tie_word_embeddings=False,
    )  # fmt: skip
    pixels = t.CLIPImageProcessorPil(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    processor = t.LlavaProcessor(
        image_processor=pixels, tokenizer=tokenizer, patch_size=14, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, image_token="<image>", chat_template=CHAT.replace("PICTURE", "<image>"),
    )  # fmt: skip
    return t.LlavaForConditionalGeneration(config), processor


def _qwen() -> tuple[Any, Any]:
    """A Qwen2-VL: images of any shape become more or fewer tokens; its processor needs torchvision."""
    import transformers as t

    tokenizer = _tokenizer(image_token="<|image_pad|>", video_token="<|video_pad|>")
    number = tokenizer.convert_tokens_to_ids
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [8, 12, 12]}
    vision = {"depth": 2, "embed_dim": 64, "hidden_size": 128, "num_heads": 2, "mlp_ratio": 2, "patch_size": 14}
    config = t.Qwen2VLConfig(
        text_config=_text(tokenizer, rope_parameters=rope), vision_config={**vision, "spatial_merge_size": 2},
        image_token_id=number("<|image_pad|>"), video_token_id=number("<|video_pad|>"),
        vision_start_token_id=number("<|vision_start|>"), vision_end_token_id=number("<|vision_end|>"),
        tie_word_embeddings=False,
    )  # fmt: skip
    processor = t.Qwen2VLProcessor(
        image_processor=t.Qwen2VLImageProcessorPil(min_pixels=56 * 56, max_pixels=112 * 112), tokenizer=tokenizer,
        video_processor=t.Qwen2VLVideoProcessor(),
        chat_template=CHAT.replace("PICTURE", "<|vision_start|><|image_pad|><|vision_end|>"),
    )  # fmt: skip
    return t.Qwen2VLForConditionalGeneration(config), processor


def _randomise(model: Any, tokenizer: Any) -> None:
    """Give large weights, so that the words depend on the image; the end of an answer is rarely likelier than a word."""
    words = set(tokenizer.convert_tokens_to_ids([f"\u0120{word}" for word in WORDS]))
    for parameter in model.parameters():
        if parameter.dim() >= 2:
            parameter.normal_(0, 0.2)
    output = model.get_output_embeddings().weight
    for row in range(len(output)):
        if row not in words:
            output[row].zero_()


def _hub_names(file: Path) -> None:
    """Rename the tower's weights as models on the hub have them: what vLLM expects, and transformers reads as well."""
    from safetensors.torch import load_file, save_file

    weights = {}
    for name, value in load_file(file).items():
        outside = not name.startswith("vision_tower.") or name.startswith("vision_tower.vision_model.")
        weights[name if outside else name.replace("vision_tower.", "vision_tower.vision_model.", 1)] = value
    save_file(weights, file, metadata={"format": "pt"})


def make_tiny_vlm(folder: Path, family: str = "llava", seed: int = 0) -> Path:
    """Save a tiny model with its processor, tokenizer and chat template, about 2 MB, and return the folder.

    Args:
        folder: where to save.
        family: llava or qwen2_vl.
        seed: of the weights.
    """
    mend_torchvision()
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(seed)
    model, processor = {"llava": _llava, "qwen2_vl": _qwen}[family]()
    tokenizer = processor.tokenizer
    with torch.no_grad():
        _randomise(model, tokenizer)
    model.generation_config.update(
        do_sample=True, temperature=0.3, repetition_penalty=1.3, eos_token_id=[tokenizer.eos_token_id],
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    model.to(torch.float32).save_pretrained(folder)
    if family == "llava":
        _hub_names(folder / "model.safetensors")
    processor.save_pretrained(folder)
    return folder
