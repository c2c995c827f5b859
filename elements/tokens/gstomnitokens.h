// The contract between tokenizers and model: caps application/x-omni-tokens, buffers of [n_tokens,
// hidden] values, and GstOmniTokenMeta on each. A buffer's PTS and duration are those of the media
// it stands for.
#pragma once

#include <gst/gst.h>

#include <string>

#include "omni/segment.h"

// Of a pad template; `modality` as caps write a value or a list of them.
#define GST_OMNI_TOKENS_CAPS_OF(modality)                 \
  "application/x-omni-tokens, modality=(string)" modality \
  ", hidden=(int)[ 1, max ], "                            \
  "format=(string)F32LE"
#define GST_OMNI_TOKEN_META_API_TYPE (gst_omni_token_meta_api_get_type())

struct GstOmniTokenMeta {
  GstMeta meta;
  gint grid_t, grid_h, grid_w;                   // in tokens; sound: grid_t = n_tokens, others 1
  gdouble seconds_per_grid;                      // media time of one step of grid_t
  gint64 frames_apart;                           // nanoseconds; 0: there is one frame
  gint source_width, source_height;              // of the frame that was tokenized; 0 for sound
  gint resized_width, resized_height;            // what the model saw of it
  gint crop_x, crop_y, crop_width, crop_height;  // the part of the source that was resized
};

GType gst_omni_token_meta_api_get_type();
const GstMetaInfo* gst_omni_token_meta_get_info();
inline GstOmniTokenMeta* gst_buffer_get_omni_token_meta(GstBuffer* b) {
  return reinterpret_cast<GstOmniTokenMeta*>(gst_buffer_get_meta(b, GST_OMNI_TOKEN_META_API_TYPE));
}

GstCaps* gst_omni_tokens_caps(omni::Modality modality, const std::string& checkpoint, int hidden);
// False if the caps are no fixed token caps. `checkpoint` may be empty.
bool gst_omni_tokens_parse_caps(const GstCaps* caps, omni::Modality& modality,
                                std::string& checkpoint, int& hidden);

GstBuffer* gst_omni_tokens_buffer(omni::Segment&& segment);
// The other way round; start is left to the caller. Throws omni::Error for a buffer that
// contradicts its caps.
omni::Segment gst_omni_tokens_segment(GstBuffer* buffer, omni::Modality modality, int hidden);
