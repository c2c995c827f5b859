// The keys that all families of the Qwen line have, and what becomes of each. (transformers,
// configuration_qwen2_5_vl.py, image_processing_qwen2_vl.py)
#include "qwen/config_keys.h"

namespace omni::qwen {

namespace {

// Of two dialects: rope_scaling beside rope_theta, and rope_parameters.
constexpr ConfigKey kRope[] = {
    {"mrope_section", ConfigKey::read},
    {"rope_theta", ConfigKey::read},
    {"rope_type", ConfigKey::assumed, R"(["default", "mrope"])"},
    {"type", ConfigKey::assumed, R"(["default", "mrope"])"},
    {"mrope_interleaved", ConfigKey::assumed, R"([false])"},
    {"partial_rotary_factor", ConfigKey::assumed, R"([1, 1.0])"},
};

constexpr ConfigKey kText[] = {
    {"embedding_size", ConfigKey::read},
    {"head_dim", ConfigKey::read},
    {"hidden_size", ConfigKey::read},
    {"intermediate_size", ConfigKey::read},
    {"max_position_embeddings", ConfigKey::read},
    {"num_attention_heads", ConfigKey::read},
    {"num_hidden_layers", ConfigKey::read},
    {"num_key_value_heads", ConfigKey::read},
    {"quantization_config", ConfigKey::read},
    {"rms_norm_eps", ConfigKey::read},
    {"rope_parameters", ConfigKey::read},
    {"rope_scaling", ConfigKey::read},
    {"rope_theta", ConfigKey::read},
    {"tie_word_embeddings", ConfigKey::read},
    {"vocab_size", ConfigKey::read},
    {"attention_dropout", ConfigKey::passed_over},
    {"init_std", ConfigKey::passed_over},
    {"max_window_layers", ConfigKey::passed_over},
    {"sliding_window", ConfigKey::passed_over},
    {"use_sliding_window", ConfigKey::assumed, R"([false])"},
    {"layer_types", ConfigKey::assumed, R"(["full_attention"])"},
    {"hidden_act", ConfigKey::assumed, R"(["silu"])"},
};

constexpr ConfigKey kMixture[] = {
    {"attention_bias", ConfigKey::assumed, R"([false])"},
    {"decoder_sparse_step", ConfigKey::read},
    {"mlp_only_layers", ConfigKey::read},
    {"moe_intermediate_size", ConfigKey::read},
    {"norm_topk_prob", ConfigKey::read},
    {"num_experts", ConfigKey::read},
    {"num_experts_per_tok", ConfigKey::read},
    {"num_local_experts", ConfigKey::read},
    {"output_router_logits", ConfigKey::passed_over},
    {"router_aux_loss_coef", ConfigKey::passed_over},
};

constexpr ConfigKey kVision[] = {
    {"depth", ConfigKey::read},
    {"fullatt_block_indexes", ConfigKey::read},
    {"hidden_size", ConfigKey::read},
    {"in_channels", ConfigKey::read},
    {"in_chans", ConfigKey::read},
    {"intermediate_size", ConfigKey::read},
    {"num_heads", ConfigKey::read},
    {"out_hidden_size", ConfigKey::read},
    {"patch_size", ConfigKey::read},
    {"spatial_merge_size", ConfigKey::read},
    {"temporal_patch_size", ConfigKey::read},
    {"window_size", ConfigKey::read},
    {"embed_dim", ConfigKey::passed_over},
    {"spatial_patch_size", ConfigKey::passed_over},
    {"hidden_act", ConfigKey::assumed, R"(["silu"])"},
};

constexpr ConfigKey kVisionRope[] = {
    {"rope_theta", ConfigKey::assumed, R"([10000, 10000.0])"},
    {"rope_type", ConfigKey::assumed, R"(["axial", "default"])"},
};

constexpr ConfigKey kImageProcessor[] = {
    {"image_mean", ConfigKey::read},
    {"image_std", ConfigKey::read},
    {"max_pixels", ConfigKey::read},
    {"merge_size", ConfigKey::read},
    {"min_pixels", ConfigKey::read},
    {"patch_size", ConfigKey::read},
    {"size", ConfigKey::read},
    {"temporal_patch_size", ConfigKey::read},
    {"crop_size", ConfigKey::passed_over},
    {"data_format", ConfigKey::passed_over},
    {"default_to_square", ConfigKey::passed_over},
    {"do_convert_rgb", ConfigKey::passed_over},
    {"image_processor_type", ConfigKey::passed_over},
    {"processor_class", ConfigKey::passed_over},
    {"do_center_crop", ConfigKey::assumed, R"([false])"},
    {"do_normalize", ConfigKey::assumed, R"([true])"},
    {"do_pad", ConfigKey::assumed, R"([false])"},
    {"do_rescale", ConfigKey::assumed, R"([true])"},
    {"do_resize", ConfigKey::assumed, R"([true])"},
    {"resample", ConfigKey::assumed, R"([3])"},
    {"rescale_factor", ConfigKey::assumed, R"([0.00392156862745098])"},
};

constexpr ConfigKey kPixels[] = {
    {"longest_edge", ConfigKey::read},
    {"shortest_edge", ConfigKey::read},
};

constexpr ConfigKey kGeneration[] = {
    {"eos_token_id", ConfigKey::read},
    {"omni", ConfigKey::read},
    {"begin_suppress_tokens", ConfigKey::assumed, R"([])"},
    {"suppress_tokens", ConfigKey::assumed, R"([])"},
};

// Defaults of ours, which the engine reads.
constexpr ConfigKey kOmni[] = {
    {"context-duration", ConfigKey::read},
    {"flow-guidance", ConfigKey::read},
    {"flow-look-ahead", ConfigKey::read},
    {"flow-points", ConfigKey::read},
    {"frame-rate", ConfigKey::read},
    {"max-pixels", ConfigKey::read},
    {"max-tokens", ConfigKey::read},
    {"min-pixels", ConfigKey::read},
    {"normaliser-window", ConfigKey::read},
    {"prompt", ConfigKey::read},
    {"spatial-prompt", ConfigKey::read},
    {"speech-repetition-penalty", ConfigKey::read},
    {"speech-temperature", ConfigKey::read},
    {"speech-top-k", ConfigKey::read},
    {"speech-top-p", ConfigKey::read},
    {"system-prompt", ConfigKey::read},
    {"trigger", ConfigKey::read},
    {"voice", ConfigKey::read},
};

}  // namespace

const std::span<const ConfigKey> kRopeKeys = kRope;
const std::span<const ConfigKey> kTextKeys = kText;
const std::span<const ConfigKey> kMixtureKeys = kMixture;
const std::span<const ConfigKey> kVisionKeys = kVision;
const std::span<const ConfigKey> kVisionRopeKeys = kVisionRope;
const std::span<const ConfigKey> kImageProcessorKeys = kImageProcessor;
const std::span<const ConfigKey> kPixelsKeys = kPixels;
const std::span<const ConfigKey> kGenerationKeys = kGeneration;
const std::span<const ConfigKey> kOmniKeys = kOmni;

}  // namespace omni::qwen
