// Tools of omnimodel: calls leave by a signal, results come by another or on a pad.
#include <bit>

#include "common/gstomniguard.h"
#include "model/gstomnimodelstate.h"

namespace gst_omni_model {

namespace {

guint tool_call_signal = 0;

GstFlowReturn chain_result(GstPad*, GstObject* parent, GstBuffer* buffer) {
  auto* self = reinterpret_cast<GstOmniModel*>(parent);
  const BufferPtr owned(buffer);
  GstMapInfo map;
  if (!gst_buffer_map(buffer, &map, GST_MAP_READ)) return GST_FLOW_OK;
  const std::string text(reinterpret_cast<const char*>(map.data), map.size);
  gst_buffer_unmap(buffer, &map);
  try {
    put_tool_result(self, omni::parse_tool_result(text));
  } catch (const omni::Error& e) {
    GST_ELEMENT_WARNING(self, STREAM, DECODE, ("A tool result was not taken: %s", e.what()),
                        (nullptr));
  }
  return GST_FLOW_OK;
}

// What comes with results ends here: they have no time, and their end is none of the model's.
gboolean sink_event(GstPad*, GstObject*, GstEvent* event) {
  gst_event_unref(event);
  return TRUE;
}

gboolean signal_tool_result(GstOmniModel* self, const gchar* id, const gchar* result) {
  return put_tool_result(self, {id ? id : "", result ? result : ""});
}

}  // namespace

GstPad* add_tool_sink(GstOmniModel* self, GstPadTemplate* templ, const std::string& name) {
  GstPad* pad = gst_pad_new_from_template(templ, name.c_str());
  gst_pad_set_chain_function(pad, GST_DEBUG_FUNCPTR(chain_result));
  gst_pad_set_event_function(pad, GST_DEBUG_FUNCPTR(sink_event));
  gst_element_add_pad(GST_ELEMENT(self), pad);
  return pad;
}

bool put_tool_result(GstOmniModel* self, omni::ToolResult result) {
  State& s = state(self);
  const std::string id = result.id;
  const auto session = session_of(s);
  if (session && session->put(std::move(result)).accepted) return true;
  guint64 n = 0;
  {
    std::lock_guard guard(s.lock);
    n = ++s.n_refused_results;
  }
  if (std::has_single_bit(n))
    GST_ELEMENT_WARNING(self, STREAM, FAILED,
                        ("%" G_GUINT64_FORMAT " results of tool calls were not taken", n),
                        ("the last of them, \"%s\": no such call waits for one, or it is longer "
                         "than 64 KiB or no UTF-8",
                         id.c_str()));
  return false;
}

void add_tool_signals(GType type) {
  tool_call_signal =
      g_signal_new("tool-call", type, G_SIGNAL_RUN_LAST, 0, nullptr, nullptr, nullptr, G_TYPE_NONE,
                   4, G_TYPE_STRING, G_TYPE_STRING, G_TYPE_STRING, G_TYPE_UINT64);
  g_signal_new_class_handler("tool-result", type, GSignalFlags(G_SIGNAL_RUN_LAST | G_SIGNAL_ACTION),
                             G_CALLBACK(signal_tool_result), nullptr, nullptr, nullptr,
                             G_TYPE_BOOLEAN, 2, G_TYPE_STRING, G_TYPE_STRING);
}

void emit_tool_call(GstOmniModel* self, const omni::ToolCall& call, guint64 turn) {
  g_signal_emit(self, tool_call_signal, 0, call.id.c_str(), call.name.c_str(),
                call.arguments.c_str(), turn);
}

}  // namespace gst_omni_model
