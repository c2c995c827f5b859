// Owners of GStreamer's and GLib's reference-counted and allocated things.
#pragma once

#include <gst/gst.h>

#include <memory>

template <auto Release>
struct GstOmniRelease {
  template <class T>
  void operator()(T* p) const {
    Release(p);
  }
};

// The reference-counted ones, most of whose unref functions are inline and so cannot be template
// arguments.
struct GstOmniUnref {
  void operator()(GstBuffer* p) const { gst_buffer_unref(p); }
  void operator()(GstCaps* p) const { gst_caps_unref(p); }
  void operator()(GstEvent* p) const { gst_event_unref(p); }
  void operator()(GstQuery* p) const { gst_query_unref(p); }
  void operator()(GstContext* p) const { gst_context_unref(p); }
  void operator()(GstMiniObject* p) const { gst_mini_object_unref(p); }
  void operator()(gpointer object) const { gst_object_unref(object); }
};

using BufferPtr = std::unique_ptr<GstBuffer, GstOmniUnref>;
using CapsPtr = std::unique_ptr<GstCaps, GstOmniUnref>;
using EventPtr = std::unique_ptr<GstEvent, GstOmniUnref>;
using QueryPtr = std::unique_ptr<GstQuery, GstOmniUnref>;
using ContextPtr = std::unique_ptr<GstContext, GstOmniUnref>;
using MiniObjectPtr = std::unique_ptr<GstMiniObject, GstOmniUnref>;
using PadPtr = std::unique_ptr<GstPad, GstOmniUnref>;
using ClockPtr = std::unique_ptr<GstClock, GstOmniUnref>;
using CharPtr = std::unique_ptr<gchar, GstOmniRelease<g_free>>;
