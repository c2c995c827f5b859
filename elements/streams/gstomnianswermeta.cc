#include "streams/gstomnianswermeta.h"

namespace {

// Metas of this name, one after the other; `state` is null at first.
GstCustomMeta* next_answer(GstBuffer* buffer, gpointer* state) {
  const GstMetaInfo* info = gst_meta_get_info(kGstOmniAnswerMeta);
  return reinterpret_cast<GstCustomMeta*>(
      gst_buffer_iterate_meta_filtered(buffer, state, info->api));
}

bool has(GstBuffer* buffer, const GstStructure* answer) {
  gpointer state = nullptr;
  while (GstCustomMeta* meta = next_answer(buffer, &state))
    if (gst_structure_is_equal(gst_custom_meta_get_structure(meta), answer)) return true;
  return false;
}

}  // namespace

void gst_omni_register_answer_meta() {
  static const GstMetaInfo* const info = [] {
    static const gchar* tags[] = {nullptr};  // of no kind of media: any element keeps it
    return gst_meta_register_custom(kGstOmniAnswerMeta, tags, nullptr, nullptr, nullptr);
  }();
  (void)info;
}

void gst_omni_add_answer(GstBuffer* buffer, const GstOmniAnswered& answered) {
  gst_omni_register_answer_meta();
  GstCustomMeta* meta = gst_buffer_add_custom_meta(buffer, kGstOmniAnswerMeta);
  gst_structure_set(
      gst_custom_meta_get_structure(meta), "question", G_TYPE_STRING, answered.question.c_str(),
      "media-start", G_TYPE_UINT64, guint64(answered.media_start), "media-duration", G_TYPE_UINT64,
      guint64(answered.media_duration), "turn", G_TYPE_UINT64, answered.turn, nullptr);
}

bool gst_omni_has_answer(GstBuffer* buffer) {
  gst_omni_register_answer_meta();
  gpointer state = nullptr;
  return next_answer(buffer, &state) != nullptr;
}

void gst_omni_copy_answers(GstBuffer* from, GstBuffer* to) {
  gst_omni_register_answer_meta();
  gpointer state = nullptr;
  while (GstCustomMeta* meta = next_answer(from, &state)) {
    if (has(to, gst_custom_meta_get_structure(meta))) continue;
    GstMetaTransformCopy whole = {FALSE, 0, gsize(-1)};
    meta->meta.info->transform_func(to, &meta->meta, from, _gst_meta_transform_copy, &whole);
  }
}
