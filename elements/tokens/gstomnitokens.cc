#include "tokens/gstomnitokens.h"

#include <algorithm>
#include <cstring>

GType gst_omni_token_meta_api_get_type() {
  static const gchar* tags[] = {nullptr};
  static const GType type = gst_meta_api_type_register("GstOmniTokenMetaAPI", tags);
  return type;
}

static gboolean token_meta_init(GstMeta* meta, gpointer, GstBuffer*) {
  auto* m = reinterpret_cast<GstOmniTokenMeta*>(meta);
  std::memset(reinterpret_cast<char*>(m) + sizeof m->meta, 0, sizeof *m - sizeof m->meta);
  return TRUE;
}

static gboolean token_meta_transform(GstBuffer* to, GstMeta* meta, GstBuffer*, GQuark type,
                                     gpointer) {
  if (!GST_META_TRANSFORM_IS_COPY(type)) return FALSE;
  auto* copy = gst_buffer_add_meta(to, gst_omni_token_meta_get_info(), nullptr);
  if (!copy) return FALSE;
  std::memcpy(reinterpret_cast<char*>(copy) + sizeof(GstMeta),
              reinterpret_cast<char*>(meta) + sizeof(GstMeta),
              sizeof(GstOmniTokenMeta) - sizeof(GstMeta));
  return TRUE;
}

const GstMetaInfo* gst_omni_token_meta_get_info() {
  static const GstMetaInfo* info =
      gst_meta_register(GST_OMNI_TOKEN_META_API_TYPE, "GstOmniTokenMeta", sizeof(GstOmniTokenMeta),
                        token_meta_init, nullptr, token_meta_transform);
  return info;
}

static const char* const kModalities[] = {"video", "image", "audio"};  // as omni::Modality

GstCaps* gst_omni_tokens_caps(omni::Modality modality, const std::string& checkpoint, int hidden) {
  return gst_caps_new_simple("application/x-omni-tokens", "modality", G_TYPE_STRING,
                             kModalities[int(modality)], "checkpoint", G_TYPE_STRING,
                             checkpoint.c_str(), "hidden", G_TYPE_INT, hidden, "format",
                             G_TYPE_STRING, "F32LE", nullptr);
}

bool gst_omni_tokens_parse_caps(const GstCaps* caps, omni::Modality& modality,
                                std::string& checkpoint, int& hidden) {
  const GstStructure* s = gst_caps_get_structure(caps, 0);
  const char *m = gst_structure_get_string(s, "modality"),
             *c = gst_structure_get_string(s, "checkpoint");
  if (!m || !gst_structure_get_int(s, "hidden", &hidden) ||
      g_strcmp0(gst_structure_get_string(s, "format"), "F32LE") != 0)
    return false;
  checkpoint = c ? c : "";
  for (int i = 0; i < 3; ++i)
    if (std::strcmp(m, kModalities[i]) == 0) {
      modality = omni::Modality(i);
      return true;
    }
  return false;
}

GstBuffer* gst_omni_tokens_buffer(omni::Segment&& s) {
  auto* values = new std::vector<float>(std::move(s.embeddings));
  const gsize bytes = values->size() * sizeof(float);
  GstBuffer* buffer =
      gst_buffer_new_wrapped_full(GstMemoryFlags(0), values->data(), bytes, 0, bytes, values,
                                  [](gpointer v) { delete static_cast<std::vector<float>*>(v); });
  GST_BUFFER_PTS(buffer) = GstClockTime(s.start);
  GST_BUFFER_DURATION(buffer) = GstClockTime(s.duration);
  auto* meta = reinterpret_cast<GstOmniTokenMeta*>(
      gst_buffer_add_meta(buffer, gst_omni_token_meta_get_info(), nullptr));
  meta->grid_t = s.grid_t, meta->grid_h = s.grid_h, meta->grid_w = s.grid_w;
  meta->seconds_per_grid = s.seconds_per_grid;
  meta->frames_apart = s.frames_apart;
  meta->source_width = meta->crop_width = s.source_width,
  meta->source_height = meta->crop_height = s.source_height;
  meta->resized_width = s.resized_width, meta->resized_height = s.resized_height;
  return buffer;
}

omni::Segment gst_omni_tokens_segment(GstBuffer* buffer, omni::Modality modality, int hidden) {
  const gsize bytes = gst_buffer_get_size(buffer), row = gsize(hidden) * sizeof(float);
  const auto* meta = gst_buffer_get_omni_token_meta(buffer);
  if (!meta)
    throw omni::Error(omni::ErrorCode::invalid_argument, "a token buffer without GstOmniTokenMeta");
  const double most = double(G_MAXINT32),
               product = double(meta->grid_t) * meta->grid_h * meta->grid_w;  // cannot overflow
  const gint64 cells = gint64(std::clamp(product, -most, most));
  if (bytes % row || meta->grid_t < 0 || meta->grid_h < 0 || meta->grid_w < 0 ||
      cells != gint64(bytes / row))
    throw omni::Error(omni::ErrorCode::invalid_argument, "a token buffer of " +
                                                             std::to_string(bytes) + " bytes for " +
                                                             std::to_string(cells) + " tokens of " +
                                                             std::to_string(hidden) + " values");
  omni::Segment s;
  s.modality = modality;
  s.n_tokens = int(cells);
  s.hidden = hidden;
  s.embeddings.resize(bytes / sizeof(float));
  gst_buffer_extract(buffer, 0, s.embeddings.data(), bytes);
  s.grid_t = meta->grid_t, s.grid_h = meta->grid_h, s.grid_w = meta->grid_w;
  s.seconds_per_grid = meta->seconds_per_grid;
  s.frames_apart = meta->frames_apart;
  s.duration =
      GST_BUFFER_DURATION_IS_VALID(buffer) ? omni::Nanoseconds(GST_BUFFER_DURATION(buffer)) : 0;
  s.source_width = meta->source_width, s.source_height = meta->source_height;
  s.resized_width = meta->resized_width, s.resized_height = meta->resized_height;
  return s;
}
