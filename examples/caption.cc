// omni-caption [OPTIONS] FILE-OR-URI; --help lists them
//
// Captions a recording: prints every answer with the media time it is about and how long it took,
// and leaves captions.vtt, captions.srt, spatial.jsonl, the programme as an MP4 with captions and
// boxes burnt in, and a contact sheet (contact_sheet.h). One pipeline does it in one pass:
//
//   uridecodebin ─┬─ video ──── omnibin ─┬─ spatial ────────────── spatial.jsonl
//                 │               ▲      ├─ text ─ tee ─┬─ webvttenc ─ captions.vtt
//                 │               │      │              ├─ srtenc ──── captions.srt
//                 │               │      └─ video ── omnioverlay ◄─┘
//                 └─ audio ─ tee ─┘                     │
//                             └─ encoder ──────────► mp4mux ─ captioned.mp4
//
// omnibin and omnioverlay hold a picture until what belongs to it is there. Ctrl-C ends it as the
// end of the recording does: the files are whole.
#include <gst/app/gstappsink.h>
#include <gst/gst.h>
#include <gst/video/video.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "contact_sheet.h"

namespace {

struct Options {
  std::string model = "nano", out = "out", prompt, events, uri;
};

struct Streams {
  bool audio = false, video = false;
  bool image = false, still = false;  // the file is one; it has one frame only
};

struct App {
  Options options;
  GstElement* pipeline = nullptr;
  GstElement *video_in = nullptr, *audio_in = nullptr;  // where the decoder's pads go
  std::vector<Event> events;                            // what is really on air, where it is known
  std::vector<Answer> answers;
  Thumbnails pictures;  // of the appsink's thread while it runs
  bool has_video = false, has_audio = false;
  double duration = 0;
};

sigset_t interrupts() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

std::string time_text(double s) {
  char text[32];
  std::snprintf(text, sizeof text, "%02d:%04.1f", int(s) / 60, s - 60 * (int(s) / 60));
  return text;
}

GstElement* make(App& app, const char* factory, const char* name = nullptr) {
  GstElement* e = gst_element_factory_make(factory, name);
  if (!e) {
    std::fprintf(
        stderr,
        "no element %s: it is omni's, or in gstreamer1.0-plugins-good, -bad, -ugly or -libav\n",
        factory);
    std::exit(1);
  }
  gst_bin_add(GST_BIN(app.pipeline), e);
  gst_element_sync_state_with_parent(e);
  return e;
}

// A bin from a launch text whose one unlinked sink becomes its pad.
GstElement* branch(App& app, const std::string& text) {
  GError* error = nullptr;
  GstElement* bin = gst_parse_bin_from_description(text.c_str(), TRUE, &error);
  if (!bin) {
    std::fprintf(stderr, "%s\n", error->message);
    std::exit(1);
  }
  gst_bin_add(GST_BIN(app.pipeline), bin);
  gst_element_sync_state_with_parent(bin);
  return bin;
}

void link(GstElement* from, const char* from_pad, GstElement* to, const char* to_pad) {
  if (!gst_element_link_pads(from, from_pad, to, to_pad)) {
    std::fprintf(stderr, "cannot link %s to %s\n", GST_ELEMENT_NAME(from), GST_ELEMENT_NAME(to));
    std::exit(1);
  }
}

void pad_added(GstElement*, GstPad* pad, gpointer data) {
  App& app = *static_cast<App*>(data);
  GstCaps* caps = gst_pad_query_caps(pad, nullptr);
  const std::string type =
      gst_caps_get_size(caps) ? gst_structure_get_name(gst_caps_get_structure(caps, 0)) : "";
  gst_caps_unref(caps);
  GstElement* target = nullptr;
  if (type == "video/x-raw" && !app.has_video) app.has_video = true, target = app.video_in;
  if (type == "audio/x-raw" && !app.has_audio) app.has_audio = true, target = app.audio_in;
  if (!target) return;
  GstPad* sink = gst_element_get_static_pad(target, "sink");
  gst_pad_link(pad, sink);
  gst_object_unref(sink);
}

GstFlowReturn thumbnail(GstAppSink* sink, gpointer data) {
  App& app = *static_cast<App*>(data);
  GstSample* sample = gst_app_sink_pull_sample(sink);
  if (!sample) return GST_FLOW_EOS;
  GstBuffer* b = gst_sample_get_buffer(sample);
  GstMapInfo map;
  if (gst_buffer_map(b, &map, GST_MAP_READ)) {
    const guint64 time = gst_segment_to_running_time(gst_sample_get_segment(sample),
                                                     GST_FORMAT_TIME, GST_BUFFER_PTS(b));
    app.pictures.add(double(time) / GST_SECOND, map.data);
    gst_buffer_unmap(b, &map);
  }
  gst_sample_unref(sample);
  return GST_FLOW_OK;
}

// Two pictures a second with their boxes, without the captions that stand beside them on the sheet.
GstElement* thumbnails(App& app) {
  GstElement* bin = branch(
      app,
      "queue max-size-time=8000000000 max-size-buffers=0 max-size-bytes=0 ! videorate max-rate=2 ! "
      "omnioverlay ! videoscale add-borders=true ! videoconvert ! "
      "video/x-raw,format=RGB,width=320,height=180,pixel-aspect-ratio=1/1 ! appsink name=thumbs "
      "sync=false async=false");
  GstElement* sink = gst_bin_get_by_name(GST_BIN(bin), "thumbs");
  GstAppSinkCallbacks callbacks{};
  callbacks.new_sample = thumbnail;
  gst_app_sink_set_callbacks(GST_APP_SINK(sink), &callbacks, &app, nullptr);
  gst_object_unref(sink);
  return bin;
}

// H.264 has pairs of rows and columns: an odd one is cut off.
GstPadProbeReturn make_even(GstPad* pad, GstPadProbeInfo* info, gpointer) {
  GstEvent* event = gst_pad_probe_info_get_event(info);
  if (GST_EVENT_TYPE(event) != GST_EVENT_CAPS) return GST_PAD_PROBE_OK;
  GstCaps* caps = nullptr;
  gst_event_parse_caps(event, &caps);
  int width = 0, height = 0;
  gst_structure_get_int(gst_caps_get_structure(caps, 0), "width", &width);
  gst_structure_get_int(gst_caps_get_structure(caps, 0), "height", &height);
  g_object_set(GST_OBJECT_PARENT(pad), "right", width % 2, "bottom", height % 2, nullptr);
  return GST_PAD_PROBE_OK;
}

void build(App& app, const Streams& streams) {
  const auto& o = app.options;
  app.pipeline = gst_pipeline_new(nullptr);
  GstElement* source = make(app, "uridecodebin", "source");
  g_object_set(source, "uri", o.uri.c_str(), nullptr);
  g_signal_connect(source, "pad-added", G_CALLBACK(pad_added), &app);
  GstElement* omni = make(app, "omnibin", "omni");
  g_object_set(omni, "model-path", o.model.c_str(), nullptr);
  if (!o.prompt.empty()) g_object_set(omni, "prompt", o.prompt.c_str(), nullptr);

  GstElement* text = make(app, "tee", "text");
  link(omni, "src_text", text, "sink");
  link(text, "src_%u",
       branch(app,
              "queue max-size-time=0 max-size-buffers=0 max-size-bytes=0 ! webvttenc ! filesink "
              "location=" +
                  o.out + "/captions.vtt"),
       "sink");
  link(text, "src_%u",
       branch(app,
              "queue max-size-time=0 max-size-buffers=0 max-size-bytes=0 ! srtenc ! filesink "
              "location=" +
                  o.out + "/captions.srt"),
       "sink");
  GstElement* mux = make(app, "mp4mux");
  GstElement* file = make(app, "filesink");
  g_object_set(file, "location", (o.out + "/captioned.mp4").c_str(), nullptr);
  link(mux, "src", file, "sink");

  if (streams.video) {
    // Interlaced material is made progressive, as omnivideotokenizer asks, and what a telephone
    // turned is put upright. Nothing here may scale: it would take the size that the contact sheet
    // prefers.
    const std::string still =
        streams.still ? "imagefreeze num-buffers=60 ! video/x-raw,framerate=30/1 ! " : "";
    GstElement* in = branch(
        app,
        "deinterlace ! videoconvert ! videoflip video-direction=auto ! videocrop name=even ! " +
            still + "queue");
    GstElement* even = gst_bin_get_by_name(GST_BIN(in), "even");
    GstPad* even_sink = gst_element_get_static_pad(even, "sink");
    gst_pad_add_probe(even_sink, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, make_even, nullptr, nullptr);
    gst_object_unref(even_sink);
    gst_object_unref(even);
    app.video_in = in;
    link(in, "src", omni, "sink_video");
    GstElement* overlay = make(app, "omnioverlay");
    for (GstElement* e : {omni, overlay}) g_object_set(e, "max-size-time", 8000u, nullptr);
    g_object_set(omni, "tracking", 2, nullptr);  // predict: boxes follow until the next result
    link(omni, "src_spatial", branch(app, "queue ! filesink location=" + o.out + "/spatial.jsonl"),
         "sink");
    // The time of a live programme may go back where it is received badly; that of a file may not.
    GstElement* encode =
        branch(app,
               "videoconvert ! video/x-raw,format=I420 ! queue max-size-time=8000000000 "
               "max-size-buffers=0 max-size-bytes=0 ! videorate ! x264enc speed-preset=veryfast "
               "key-int-max=60 ! "
               "h264parse ! identity name=last");
    GstElement* seen = make(app, "tee", "seen");
    link(omni, "src_video", seen, "sink");
    link(seen, "src_%u", thumbnails(app), "sink");
    link(seen, "src_%u", overlay, "sink");
    GstElement* caption = branch(app, "queue max-size-time=0 max-size-buffers=0 max-size-bytes=0");
    link(text, "src_%u", caption, "sink");
    link(caption, "src", overlay, "text");
    link(overlay, "src", encode, "sink");
    link(encode, "src", mux, "video_%u");
  }
  if (streams.audio) {
    GstElement* in = branch(app,
                            "audioconvert ! audioresample ! tee name=t  t. ! queue "
                            "max-size-time=8000000000 max-size-buffers=0 max-size-bytes=0 ! "
                            "audioconvert ! avenc_aac ! aacparse ! identity name=coded");
    app.audio_in = in;
    GstElement* tee = gst_bin_get_by_name(GST_BIN(in), "t");
    GstPad* p = gst_element_request_pad_simple(tee, "src_%u");
    GstPad* g = gst_ghost_pad_new("to_model", p);
    gst_pad_set_active(g, TRUE);
    gst_element_add_pad(in, g);
    gst_object_unref(p);
    gst_object_unref(tee);
    GstElement* to_model =
        branch(app, "queue max-size-time=8000000000 max-size-buffers=0 max-size-bytes=0");
    link(in, "to_model", to_model, "sink");
    link(to_model, "src", omni, "sink_audio");
    link(in, "src", mux, "audio_%u");
  }
}

void found_pad(GstElement* source, GstPad* pad, gpointer data) {
  auto& found = *static_cast<Streams*>(data);
  GstCaps* caps = gst_pad_get_current_caps(pad);
  if (!caps) caps = gst_pad_query_caps(pad, nullptr);
  const GstStructure* s = gst_caps_get_structure(caps, 0);
  int rate = 0, per = 1;
  found.audio |= g_str_has_prefix(gst_structure_get_name(s), "audio/");
  if (g_str_has_prefix(gst_structure_get_name(s), "video/")) {
    found.video = true;
    found.still =
        found.image && gst_structure_get_fraction(s, "framerate", &rate, &per) && rate == 0;
  }
  gst_caps_unref(caps);
  GstElement* sink = gst_element_factory_make("fakesink", nullptr);
  g_object_set(sink, "async", FALSE, nullptr);
  gst_bin_add(GST_BIN(GST_OBJECT_PARENT(source)), sink);
  gst_element_sync_state_with_parent(sink);
  GstPad* target = gst_element_get_static_pad(sink, "sink");
  gst_pad_link(pad, target);
  gst_object_unref(target);
}

gboolean found_type(GstElement*, GstPad*, GstCaps* caps, gpointer data) {
  const char* type = gst_structure_get_name(gst_caps_get_structure(caps, 0));
  static_cast<Streams*>(data)->image |= g_str_has_prefix(type, "image/");
  return TRUE;
}

void found_all(GstElement* source, gpointer) {
  gst_element_post_message(
      source,
      gst_message_new_application(GST_OBJECT(source), gst_structure_new_empty("no-more-pads")));
}

// Which kinds of stream there are: looked at before the pipeline is built, since every pad of
// omnibin that is asked for must get data. In PLAYING, where live sources show theirs.
Streams look(const std::string& uri) {
  Streams found;
  GstElement* p = gst_pipeline_new(nullptr);
  GstElement* s = gst_element_factory_make("uridecodebin", nullptr);
  g_object_set(s, "uri", uri.c_str(), nullptr);
  gst_bin_add(GST_BIN(p), s);
  g_signal_connect(s, "pad-added", G_CALLBACK(found_pad), &found);
  g_signal_connect(s, "autoplug-continue", G_CALLBACK(found_type), &found);
  g_signal_connect(s, "no-more-pads", G_CALLBACK(found_all), nullptr);
  gst_element_set_state(p, GST_STATE_PLAYING);
  GstBus* bus = gst_element_get_bus(p);
  GstMessage* m = gst_bus_timed_pop_filtered(
      bus, 20 * GST_SECOND,
      GstMessageType(GST_MESSAGE_APPLICATION | GST_MESSAGE_EOS | GST_MESSAGE_ERROR));
  if (m && GST_MESSAGE_TYPE(m) == GST_MESSAGE_ERROR) {
    GError* e = nullptr;
    gst_message_parse_error(m, &e, nullptr);
    std::fprintf(stderr, "%s: %s\n", uri.c_str(), e->message);
    std::exit(1);
  }
  if (m) gst_message_unref(m);
  gst_object_unref(bus);
  gst_element_set_state(p, GST_STATE_NULL);
  gst_object_unref(p);
  return found;
}

void answered(App& app, const GstStructure* s) {
  guint64 start = 0, duration = 0, total = 0;
  gst_structure_get_uint64(s, "running-time", &start);
  gst_structure_get_uint64(s, "duration", &duration);
  gst_structure_get_uint64(s, "total", &total);
  gboolean spatial = FALSE;
  if (gst_structure_get_boolean(s, "spatial", &spatial) && spatial) {
    std::printf("         objects: %s\n", gst_structure_get_string(s, "text"));
    return;
  }
  const Answer a{double(start) / GST_SECOND, double(duration) / GST_SECOND,
                 gst_structure_get_string(s, "text"), double(total) / GST_MSECOND};
  app.answers.push_back(a);
  std::printf("%s  %-78s  (answered in %.0f ms)\n", time_text(a.start).c_str(), a.text.c_str(),
              a.took);
  if (const std::string truth = on_air(app.events, a.start, a.start + a.duration); !truth.empty())
    std::printf("         on air: %s\n", truth.c_str());
  std::fflush(stdout);
}

// Ctrl-C sends EOS through the pipeline; a second one ends the program there. The signals are
// blocked in all other threads.
void end_on_interrupt(GstElement* pipeline) {
  std::thread([pipeline = GST_ELEMENT(gst_object_ref(pipeline))] {
    sigset_t signals = interrupts();
    int signal = 0;
    sigwait(&signals, &signal);
    gst_element_send_event(pipeline, gst_event_new_eos());
    sigwait(&signals, &signal);
    std::_Exit(130);
  }).detach();
}

// How far loading is, of one of the elements that wait for the same weights.
void print_progress(GstMessage* m) {
  GstProgressType type;
  gchar* text = nullptr;
  gst_message_parse_progress(m, &type, nullptr, &text);
  if (std::strcmp(GST_OBJECT_NAME(GST_MESSAGE_SRC(m)), "model") == 0)
    std::fprintf(stderr, isatty(2) && type == GST_PROGRESS_TYPE_CONTINUE ? "%s\r" : "%s\n", text);
  g_free(text);
}

void print_warning(GstMessage* m) {
  GError* e = nullptr;
  gst_message_parse_warning(m, &e, nullptr);
  std::fprintf(stderr, "warning from %s: %s\n", GST_OBJECT_NAME(GST_MESSAGE_SRC(m)), e->message);
  g_error_free(e);
}

int run(App& app) {
  end_on_interrupt(app.pipeline);
  gst_element_set_state(app.pipeline, GST_STATE_PLAYING);
  GstBus* bus = gst_element_get_bus(app.pipeline);
  int status = -1;
  const gint64 begin = g_get_monotonic_time();
  while (status < 0) {
    GstMessage* m = gst_bus_timed_pop(bus, GST_CLOCK_TIME_NONE);
    switch (GST_MESSAGE_TYPE(m)) {
      case GST_MESSAGE_EOS:
        status = 0;
        break;
      case GST_MESSAGE_ERROR: {
        GError* e = nullptr;
        gst_message_parse_error(m, &e, nullptr);
        std::fprintf(stderr, "error from %s: %s\n", GST_OBJECT_NAME(GST_MESSAGE_SRC(m)),
                     e->message);
        g_error_free(e);
        status = 1;
        break;
      }
      case GST_MESSAGE_WARNING:
        print_warning(m);
        break;
      case GST_MESSAGE_PROGRESS:
        print_progress(m);
        break;
      case GST_MESSAGE_ELEMENT:
        if (gst_message_has_name(m, "omni/answer")) answered(app, gst_message_get_structure(m));
        break;
      default:
        break;
    }
    gst_message_unref(m);
  }
  gint64 duration = 0;  // a live stream and a photograph have none
  if (!app.answers.empty()) app.duration = app.answers.back().start + app.answers.back().duration;
  if (gst_element_query_duration(app.pipeline, GST_FORMAT_TIME, &duration) && duration > 0)
    app.duration = double(duration) / GST_SECOND;
  gst_object_unref(bus);
  gst_element_set_state(app.pipeline, GST_STATE_NULL);
  const double took = double(g_get_monotonic_time() - begin) / 1e6;
  if (status == 0)
    std::printf("%zu captions for %.1f s of programme in %.1f s\n", app.answers.size(),
                app.duration, took);
  gst_object_unref(app.pipeline);
  return status;
}

constexpr const char* kUsage =
    "usage: omni-caption [OPTIONS] FILE-OR-URI\n"
    "Captions a recording or a stream; leaves captions.vtt, captions.srt, spatial.jsonl, "
    "captioned.mp4\nand contact-sheet.png. Ctrl-C ends it as the end of the recording does.\n"
    "  --model DIR    folder of a checkpoint, or the name of an installed one (nano)\n"
    "  --out DIR      where the files go (out)\n"
    "  --prompt TEXT  what is asked of each stretch (what the checkpoint asks for)\n"
    "  --events FILE  what is really on air: lines \"START END WHAT | WORDS; WORDS\", in seconds;\n"
    "                 an answer is right where it says the WORDS\n"
    "  --help         this\n";

void usage(const std::string& why) {
  std::fprintf(stderr, "omni-caption: %s\n%s", why.c_str(), kUsage);
  std::exit(2);
}

std::string uri_of(const std::string& file_or_uri) {
  if (gst_uri_is_valid(file_or_uri.c_str())) return file_or_uri;
  if (!std::filesystem::exists(file_or_uri)) usage("there is no file " + file_or_uri);
  char* made = gst_filename_to_uri(file_or_uri.c_str(), nullptr);
  const std::string uri = made ? made : "";
  g_free(made);
  return uri;
}

Options parse(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    if (a == "--help" || a == "-h") {
      std::fputs(kUsage, stdout);
      std::exit(0);
    }
    std::string* value = a == "--model"    ? &o.model
                         : a == "--out"    ? &o.out
                         : a == "--prompt" ? &o.prompt
                         : a == "--events" ? &o.events
                                           : nullptr;
    if (value) {
      if (++i == argc) usage(a + " wants a value");
      *value = argv[i];
    } else if (a.starts_with("--")) {
      usage("unknown option " + a);
    } else if (!o.uri.empty()) {
      usage("one recording at a time: " + o.uri + ", " + a);
    } else {
      o.uri = a;
    }
  }
  if (o.uri.empty()) usage("no recording");
  o.uri = uri_of(o.uri);
  return o;
}

// Lines "start end what | words; words", in seconds; the words may be missing.
std::vector<Event> read_events(const std::string& path) {
  std::vector<Event> events;
  std::ifstream in(path);
  Event e;
  while (in >> e.start >> e.end && std::getline(in >> std::ws, e.what)) {
    const size_t bar = e.what.find(" | ");
    e.words.clear();
    if (bar != std::string::npos) {
      std::istringstream words(e.what.substr(bar + 3));
      for (std::string w; std::getline(words >> std::ws, w, ';');) e.words.push_back(w);
      e.what.resize(bar);
    }
    events.push_back(e);
  }
  return events;
}

}  // namespace

int main(int argc, char** argv) {
  const sigset_t signals = interrupts();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // before there are other threads
  gst_init(&argc, &argv);
  App app;
  app.options = parse(argc, argv);
  if (!app.options.events.empty()) app.events = read_events(app.options.events);
  const Streams streams = look(app.options.uri);
  if (!streams.audio && !streams.video) {
    std::fprintf(stderr, "%s has neither audio nor video\n", app.options.uri.c_str());
    return 1;
  }
  std::filesystem::create_directories(app.options.out);
  build(app, streams);
  const int status = run(app);
  if (status != 0 || app.pictures.all().empty()) return status;
  if (!write_contact_sheet(app.options.out + "/contact-sheet.png", app.pictures, app.answers,
                           app.events, app.duration)) {
    std::fprintf(stderr, "%s/contact-sheet.png cannot be written\n", app.options.out.c_str());
    return 1;
  }
  return 0;
}
