#include "tokenizers/gstomnicudaframes.h"

#include "common/gstomniptr.h"
#include "omni/engine.h"

#if OMNI_HAVE_GST_CUDA
#include <gst/cuda/gstcudabufferpool.h>
#include <gst/cuda/gstcudacontext.h>
#include <gst/cuda/gstcudaloader.h>
#include <gst/cuda/gstcudamemory.h>
#include <gst/cuda/gstcudautils.h>

GstOmniCudaFrames::~GstOmniCudaFrames() {
  gst_clear_object(reinterpret_cast<GstObject**>(&context_));
}

gpointer GstOmniCudaFrames::context(const std::string& device) {
  g_mutex_lock(&lock_);
  if (opened_ != device) {
    gst_clear_object(reinterpret_cast<GstObject**>(&context_));
    opened_ = device;
    try {
      const auto ours = omni::cuda_context(device);
      if (ours && gst_cuda_load_library()) {
        gst_cuda_memory_init_once();
        context_ =
            gst_cuda_context_new_wrapped(static_cast<CUcontext>(ours->context), ours->device);
      }
    } catch (const omni::Error&) {  // whoever opens the engine posts it
    }
  }
  gpointer result = context_;
  g_mutex_unlock(&lock_);
  return result;
}

bool GstOmniCudaFrames::answer(GstElement* element, GstQuery* query, const std::string& device) {
  const bool asks_context = GST_QUERY_TYPE(query) == GST_QUERY_CONTEXT,
             asks_memory = GST_QUERY_TYPE(query) == GST_QUERY_ALLOCATION;
  if (asks_context) {
    const gchar* type = nullptr;
    gst_query_parse_context_type(query, &type);
    if (g_strcmp0(type, GST_CUDA_CONTEXT_TYPE) != 0) return false;
  }
  GstCaps* caps = nullptr;
  gboolean needs_pool = FALSE;
  if (asks_memory) {
    gst_query_parse_allocation(query, &caps, &needs_pool);
    if (!caps || !gst_caps_features_contains(gst_caps_get_features(caps, 0),
                                             GST_CAPS_FEATURE_MEMORY_CUDA_MEMORY))
      return false;
  }
  if (!asks_context && !asks_memory) return false;
  auto* ours = static_cast<GstCudaContext*>(context(device));
  if (!ours) return false;
  if (asks_context) return gst_cuda_handle_context_query(element, query, ours);
  GstVideoInfo info;
  if (needs_pool && gst_video_info_from_caps(&info, caps)) {
    std::unique_ptr<GstBufferPool, GstOmniRelease<gst_object_unref>> pool(
        gst_cuda_buffer_pool_new(ours));
    GstStructure* config = gst_buffer_pool_get_config(pool.get());
    gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
    gst_buffer_pool_config_set_params(config, caps, guint(info.size), 0, 0);
    if (gst_buffer_pool_set_config(pool.get(), config)) {
      config = gst_buffer_pool_get_config(pool.get());  // the size may have grown
      guint size = 0;
      gst_buffer_pool_config_get_params(config, nullptr, &size, nullptr, nullptr);
      gst_structure_free(config);
      gst_query_add_allocation_pool(query, pool.get(), size, 0, 0);
    }
  }
  gst_query_add_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr);
  return true;
}

GstMapFlags GstOmniCudaFrames::map_flags(GstBuffer* buffer) {
  GstMemory* memory =
      gst_buffer_n_memory(buffer) == 1 ? gst_buffer_peek_memory(buffer, 0) : nullptr;
  if (!memory || !gst_is_cuda_memory(memory)) return GstMapFlags(0);
  g_mutex_lock(&lock_);
  auto* ours = static_cast<GstCudaContext*>(context_);
  auto* its = GST_CUDA_MEMORY_CAST(memory)->context;
  const bool same = ours && (ours == its ||
                             gst_cuda_context_get_handle(ours) == gst_cuda_context_get_handle(its));
  g_mutex_unlock(&lock_);
  if (!same) return GstMapFlags(0);
#if GST_CHECK_VERSION(1, 24, 0)
  gst_cuda_memory_sync(GST_CUDA_MEMORY_CAST(memory));  // before that the producer has waited itself
#endif
  return GstMapFlags(GST_MAP_CUDA);
}

std::string GstOmniCudaFrames::with_cuda_memory(const std::string& caps) {
  const std::string plain = "video/x-raw";
  return plain + "(" GST_CAPS_FEATURE_MEMORY_CUDA_MEMORY ")" + caps.substr(plain.size()) + "; " +
         caps;
}

#else

GstOmniCudaFrames::~GstOmniCudaFrames() = default;
bool GstOmniCudaFrames::answer(GstElement*, GstQuery*, const std::string&) { return false; }
GstMapFlags GstOmniCudaFrames::map_flags(GstBuffer*) { return GstMapFlags(0); }
std::string GstOmniCudaFrames::with_cuda_memory(const std::string& caps) { return caps; }

#endif
