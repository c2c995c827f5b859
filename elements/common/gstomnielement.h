// The GObject around an element: registration, properties, contexts, state changes and the end,
// once for all elements. What an element does is in a C++ class, which this one owns:
//
//   class Foo : public GstOmniElement {
//    public:
//     struct Settings : GstOmniSettings { … };
//     static const GstOmniProperties<Settings>& properties();
//     static const std::vector<GstOmniReading<Foo>>& readings();  // read-only properties, if any
//     static void describe(GstElementClass* klass);               // metadata, pad templates
//     Foo(GstElement* element, GstElementClass* klass);           // makes the pads
//     Settings settings;
//   };
//
//   GST_ELEMENT_REGISTER_DEFINE(foo, "foo", GST_RANK_NONE, gst_omni_element_type<Foo>("GstFoo"));
//
// properties() is anything with install(), count(), set() and get() as GstOmniProperties has them.
#pragma once

#include <gst/gst.h>

#include <string>
#include <vector>

#include "common/gstomniguard.h"
#include "common/gstomniproperties.h"

class GstOmniElement {
 public:
  // What the GObject derives from: an element that is a bin names GstBin and its type instead.
  using Base = GstElement;
  static GType base_type() { return GST_TYPE_ELEMENT; }
  static void add_interfaces(GType) {}  // of the type that was just registered

  virtual ~GstOmniElement() = default;
  // Ahead of and behind what GstElement does, which activates the pads on the way up and
  // deactivates them on the way down. May throw omni::Error: the change fails.
  virtual void before_change(GstStateChange) {}
  virtual void after_change(GstStateChange, GstStateChangeReturn) {}
  virtual void set_context(GstContext*) {}
  // For templates of pads on request: a pad that was given to the element, or null. `name` is what
  // was asked for, or null.
  virtual GstPad* request_pad(GstPadTemplate*, const gchar* name) { return nullptr; }
  virtual void release_pad(GstPad*) {}
  virtual void property_set(const std::string& name) {}  // any thread, in any state
};

// A property that is read only.
template <class Element>
struct GstOmniReading {
  GParamSpec* (*spec)();
  void (*get)(Element& element, GValue* value);
};

template <class Element>
struct GstOmniObject {
  typename Element::Base parent;
  Element* element;
};

template <class Element>
struct GstOmniShell {
  using Object = GstOmniObject<Element>;
  static inline GstElementClass* parent_class = nullptr;

  static Element& of(gpointer object) { return *static_cast<Object*>(object)->element; }

  static const std::vector<GstOmniReading<Element>>& readings_of_element() {
    static const std::vector<GstOmniReading<Element>> none;
    if constexpr (requires { Element::readings(); })
      return Element::readings();
    else
      return none;
  }

  static void set_property(GObject* object, guint id, const GValue* value, GParamSpec* spec) {
    if (Element::properties().set(of(object).settings, id, value))
      gst_omni_guard(object, false, [&] { return of(object).property_set(spec->name), true; });
    else
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
  }

  static void get_property(GObject* object, guint id, GValue* value, GParamSpec* spec) {
    const auto& readings = readings_of_element();
    const guint n = Element::properties().count();
    if (Element::properties().get(of(object).settings, id, value)) return;
    if (id > n && id - n <= readings.size())
      readings[id - n - 1].get(of(object), value);
    else
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
  }

  static GstStateChangeReturn change_state(GstElement* object, GstStateChange change) {
    return gst_omni_guard(object, GST_STATE_CHANGE_FAILURE, [&] {
      of(object).before_change(change);
      const GstStateChangeReturn result = parent_class->change_state(object, change);
      of(object).after_change(change, result);
      return result;
    });
  }

  static void set_context(GstElement* object, GstContext* context) {
    of(object).set_context(context);
    parent_class->set_context(object, context);
  }

  static GstPad* request_new_pad(GstElement* object, GstPadTemplate* templ, const gchar* name,
                                 const GstCaps*) {
    return gst_omni_guard<GstPad*>(object, nullptr,
                                   [&] { return of(object).request_pad(templ, name); });
  }

  static void release_pad(GstElement* object, GstPad* pad) {
    gst_omni_guard(object, false, [&] { return of(object).release_pad(pad), true; });
  }

  static void finalize(GObject* object) {
    Element* element = &of(object);
    G_OBJECT_CLASS(parent_class)->finalize(object);
    delete element;
  }

  static void instance_init(GTypeInstance* instance, gpointer klass) {
    reinterpret_cast<Object*>(instance)->element =
        new Element(GST_ELEMENT(instance), static_cast<GstElementClass*>(klass));
  }

  static void class_init(gpointer g_class, gpointer) {
    parent_class = static_cast<GstElementClass*>(g_type_class_peek_parent(g_class));
    auto* object = G_OBJECT_CLASS(g_class);
    auto* element = GST_ELEMENT_CLASS(g_class);
    object->set_property = set_property;
    object->get_property = get_property;
    object->finalize = finalize;
    element->change_state = change_state;
    element->set_context = set_context;
    element->request_new_pad = request_new_pad;
    element->release_pad = release_pad;
    Element::properties().install(object);
    guint id = Element::properties().count();
    for (const auto& reading : readings_of_element())
      g_object_class_install_property(object, ++id, reading.spec());
    Element::describe(element);
  }
};

// The type of this name, registered when it is first asked for.
template <class Element>
GType gst_omni_element_type(const char* name) {
  using Shell = GstOmniShell<Element>;
  static const GType type = [name] {
    GTypeQuery base{};
    g_type_query(Element::base_type(), &base);
    GTypeInfo info{};
    info.class_size = guint16(base.class_size);
    info.class_init = Shell::class_init;
    info.instance_size = sizeof(typename Shell::Object);
    info.instance_init = Shell::instance_init;
    const GType element = g_type_register_static(Element::base_type(), name, &info, GTypeFlags(0));
    Element::add_interfaces(element);
    return element;
  }();
  return type;
}

constexpr auto kGstOmniReadOnly = GParamFlags(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);

// For elements with an always pad named as its template.
inline GstPad* gst_omni_new_pad(GstElementClass* klass, const char* name) {
  return gst_pad_new_from_template(gst_element_class_get_pad_template(klass, name), name);
}

// What gst-inspect-1.0 says: `name`, `classification` and `description`, which are literals; and
// with them who wrote it and where its page is.
void gst_omni_set_metadata(GstElementClass* klass, const char* name, const char* classification,
                           const char* description);

inline void gst_omni_add_template(GstElementClass* klass, const char* name,
                                  GstPadDirection direction, GstPadPresence presence,
                                  const char* caps) {
  GstCaps* c = gst_caps_from_string(caps);
  gst_element_class_add_pad_template(klass, gst_pad_template_new(name, direction, presence, c));
  gst_caps_unref(c);
}
