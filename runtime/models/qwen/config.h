// What the configuration files of the Qwen line say of what its families share: the text model, the
// vision tower and the image processor, in both dialects, as published (rope_theta and
// rope_scaling, preprocessor_config.json) and as transformers 5 writes them (rope_parameters,
// processor_config.json). A structural key that is missing is an error that names it: the class
// defaults of transformers are not the published values. (transformers,
// configuration_qwen2_5_vl.py)
#pragma once

#include <array>
#include <filesystem>
#include <initializer_list>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "interface/vision.h"
#include "io/json.h"
#include "text/bpe.h"

namespace omni::qwen {

constexpr int kMost = 1 << 20;  // of any size in a configuration, and of heads · head_dim
constexpr int kMostLayers = 1024;
constexpr double kMostTheta = 1e12;

// A mixture of experts in the place of the MLP of some layers.
struct ExpertsConfig {
  int n = 0;  // 0: in no layer
  int per_token = 0, intermediate_size = 0;
  int shared_intermediate_size = 0;  // of one that all rows go to, behind a gate; 0: there is none
  bool norm_topk_prob = true;
  int decoder_sparse_step = 1;    // every so many layers has one,
  std::set<int> mlp_only_layers;  // but for these

  bool are_in_layer(int index) const {
    return n > 0 && (index + 1) % decoder_sparse_step == 0 && !mlp_only_layers.contains(index);
  }
};
// Of the configuration of a text model.
ExpertsConfig read_experts(const Json& j);

struct TextConfig {
  int hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads,
      head_dim, vocab_size;
  int64_t max_position_embeddings;
  double rope_theta;
  std::array<int, 3> mrope_section;
  float rms_norm_eps;
  bool tie_word_embeddings;
  int embedding_size;  // width of the embedding table: hidden_size but in a Talker
  // Of the projections of queries, keys and values: biases, or a norm of each head's query and key.
  bool qkv_bias = true, qk_norm = false;
  // The axes of time, height and width take turns, not one section after the other.
  bool mrope_interleaved = false;
  int n_deep_levels = 0;  // of features that the first layers are given
  ExpertsConfig experts;
  int kept_layer = 0;  // omni::TextModel::kept_layer()
};
// `tied`: where `j` does not say.
TextConfig read_text(const Json& j, bool tied);

struct VisionConfig {
  int depth, hidden_size, intermediate_size, num_heads, patch_size, temporal_patch_size,
      spatial_merge_size, out_hidden_size, in_channels;
  int window_size = 0;                  // pixels; 0: all patches attend to all
  std::set<int> fullatt_block_indexes;  // the others attend inside windows
  bool fused_qkv = true;  // one tensor holds the projections of queries, keys and values
  // RMSNorm and SwiGLU, or LayerNorm and fc1, quick GELU, fc2
  enum class Blocks { rms_norm_swiglu, layer_norm_quick_gelu } blocks = Blocks::rms_norm_swiglu;
};
// Of a tower with windows.
VisionConfig read_vision(const Json& j);
// The sizes that all towers have by the same names.
void read_patches(const Json& j, VisionConfig& config);
void require_heads(const Json& j, const VisionConfig& config);

// eos_token_id of generation_config.json, if it says any: one id or a list.
std::set<int32_t> read_stop_ids(const std::filesystem::path& folder, int vocab_size);

// Throws corrupt_file where a key of `config` is another id than the tokenizer's of that token.
using NamedId = std::pair<const char*, const char*>;  // key, token
void check_token_ids(const Json& config, const BpeTokenizer& tokenizer,
                     std::initializer_list<NamedId> ids);

// The image processor of processor_config.json (transformers 5) or preprocessor_config.json (as
// published). Throws not_found where there is neither.
Json read_image_processor(const std::filesystem::path& folder);
// The area that a processor resizes into: size (transformers 5), min_pixels and max_pixels (as
// published).
PixelLimits read_pixels(const Json& processor, PixelLimits otherwise);
// How the processor normalises and cuts, which must be the tower's way. The limits of video stay
// 0, those of images are `otherwise` where the processor does not say.
VisionSpec read_vision_spec(const Json& processor, const VisionConfig& vision,
                            PixelLimits otherwise);

// --- of any part of a configuration
int size(const Json& j, const char* key);                         // 1 … kMost
std::set<int> layers(const Json& j, const char* key);             // a list of their numbers
void require(const Json& j, bool ok, const std::string& reason);  // or j.fail(reason)
void log_unlisted(const std::vector<std::string>& keys);          // what check_keys() returned

}  // namespace omni::qwen
