// What the caption elements share: one text sink pad, one source pad, all in the thread of who
// pushes. Text comes with its time, GAPs say that time passes without any; a filter makes what it
// makes of both. Times are buffer times: segments go through as they are.
#pragma once

#include <gst/gst.h>

#include <optional>
#include <string>

#include "common/gstomniguard.h"
#include "common/gstomniproperties.h"
#include "common/gstomniptr.h"

class GstOmniTextFilter {
 public:
  GstOmniTextFilter(GstElement* element, GstElementClass* klass);
  virtual ~GstOmniTextFilter() = default;
  // Forgets the stream. Called when none runs: flushed, or stopped.
  void clear();

 protected:
  // All of these are called in the streaming thread, but for latency(). They may throw omni::Error.
  // of what leaves, from now on
  virtual CapsPtr output_caps(GstCaps* input) = 0;
  // A stretch of the stream, in `segment`: text(), advance() and finish() come after it, and
  // another begin() only after finish() or reset().
  virtual void begin(const GstSegment& segment) = 0;
  // Text of no duration gets the time it takes to read; where waits_for_end(), it is held until the
  // next text or until that time has passed, and ends there.
  virtual void text(const std::string& text, GstClockTime start, GstClockTime duration) = 0;
  virtual bool waits_for_end() const { return true; }
  // no text that is still to come begins before `time`
  virtual void advance(GstClockTime time) = 0;
  virtual bool event(GstEvent*) { return false; }  // a custom event; true: it goes no further
  // what was held back leaves
  virtual void finish() = 0;
  // what was held back is void
  virtual void reset() = 0;
  virtual GstClockTime latency() { return 0; }  // added to that of upstream; any thread

  void push(BufferPtr buffer);
  // [start, end) without anything.
  void push_gap(GstClockTime start, GstClockTime end);
  GstFlowReturn flow() const { return flow_; }
  GstElement* const element_;
  GstPad *sink_, *src_;

 private:
  static GstFlowReturn chain(GstPad*, GstObject* parent, GstBuffer* buffer);
  static gboolean sink_event(GstPad* pad, GstObject* parent, GstEvent* event);
  static gboolean src_query(GstPad* pad, GstObject* parent, GstQuery* query);
  void begin_if_needed();
  void take(GstBuffer* buffer);
  void release(GstClockTime next);
  void end();
  bool handle(GstPad* pad, GstEvent* event);

  GstFlowReturn flow_ = GST_FLOW_OK;
  GstSegment segment_;    // of no format before the first
  bool begun_ = false;    // between begin() and finish() or reset()
  GstClockTime end_ = 0;  // of the text that came last
  struct Held {
    std::string text;
    GstClockTime start, duration;
  };
  std::optional<Held> held_;  // until its end is known
};

struct GstOmniTextFilterElement {
  GstElement element;
  GstOmniTextFilter* filter;
};

struct GstOmniTextFilterElementClass {
  GstElementClass parent_class;
};

BufferPtr gst_omni_text_buffer(const std::string& text, GstClockTime start, GstClockTime duration);

// The GType of an element that is a Filter. Filter has: Settings settings; static properties();
// static describe(GstElementClass*); GstStructure* stats().
template <class Filter>
GType gst_omni_text_filter_type(const char* name) {
  struct Glue {
    static Filter& filter(gpointer object) {
      return *static_cast<Filter*>(reinterpret_cast<GstOmniTextFilterElement*>(object)->filter);
    }
    static void set(GObject* object, guint id, const GValue* value, GParamSpec* pspec) {
      if (!Filter::properties().set(filter(object).settings, id, value))
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
    }
    static void get(GObject* object, guint id, GValue* value, GParamSpec* pspec) {
      if (Filter::properties().get(filter(object).settings, id, value)) return;
      if (id == Filter::properties().count() + 1)
        g_value_take_boxed(value, filter(object).stats());
      else
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
    }
    static void finalize(GObject* object) {
      GstOmniTextFilter* f = &filter(object);
      G_OBJECT_CLASS(g_type_class_peek(GST_TYPE_ELEMENT))->finalize(object);
      delete static_cast<Filter*>(f);
    }
    static GstStateChangeReturn change_state(GstElement* element, GstStateChange transition) {
      auto* parent = GST_ELEMENT_CLASS(g_type_class_peek(GST_TYPE_ELEMENT));
      const GstStateChangeReturn result = parent->change_state(element, transition);
      if (transition == GST_STATE_CHANGE_PAUSED_TO_READY) filter(element).clear();
      return result;
    }
    static void instance_init(GTypeInstance* instance, gpointer g_class) {
      reinterpret_cast<GstOmniTextFilterElement*>(instance)->filter =
          new Filter(GST_ELEMENT(instance), GST_ELEMENT_CLASS(g_class));
    }
    static void class_init(gpointer g_class, gpointer) {
      auto* object = G_OBJECT_CLASS(g_class);
      object->set_property = set;
      object->get_property = get;
      object->finalize = finalize;
      GST_ELEMENT_CLASS(g_class)->change_state = change_state;
      Filter::properties().install(object);
      g_object_class_install_property(
          object, Filter::properties().count() + 1,
          g_param_spec_boxed("stats", "Statistics", "What has happened so far", GST_TYPE_STRUCTURE,
                             GParamFlags(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)));
      Filter::describe(GST_ELEMENT_CLASS(g_class));
    }
  };
  const GTypeInfo info = {sizeof(GstOmniTextFilterElementClass),
                          nullptr,
                          nullptr,
                          Glue::class_init,
                          nullptr,
                          nullptr,
                          sizeof(GstOmniTextFilterElement),
                          0,
                          Glue::instance_init,
                          nullptr};
  return g_type_register_static(GST_TYPE_ELEMENT, name, &info, GTypeFlags(0));
}
