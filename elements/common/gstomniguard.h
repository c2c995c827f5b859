// The one place where C++ exceptions become GStreamer: every vfunc, pad function, task and signal
// handler of the elements is one guard call.
#pragma once

#include <gst/gst.h>

#include <exception>
#include <new>

#include "omni/error.h"

// Posts the ERROR message that an omni::Error stands for (DESIGN §4); nothing for `cancelled`.
void gst_omni_post_error(GstElement* element, const omni::Error& error);

// Runs `body`; on an exception posts one error message and returns `otherwise`.
template <class Result, class Body>
Result gst_omni_guard(gpointer element, Result otherwise, const Body& body) {
  try {
    return body();
  } catch (const omni::Error& e) {
    gst_omni_post_error(GST_ELEMENT(element), e);
  } catch (const std::bad_alloc&) {
    gst_omni_post_error(GST_ELEMENT(element),
                        omni::Error(omni::ErrorCode::out_of_memory, "out of memory"));
  } catch (const std::exception& e) {
    gst_omni_post_error(GST_ELEMENT(element), omni::Error(omni::ErrorCode::internal, e.what()));
  }
  return otherwise;
}

enum class GstOmniRound { idle, busy, cancelled, broken };

// One round of a worker: `work` says whether there was something to do. Being cancelled is no
// error; after one the round was broken, and the error is posted.
template <class Work>
GstOmniRound gst_omni_round(gpointer element, const Work& work) {
  return gst_omni_guard(element, GstOmniRound::broken, [&] {
    try {
      return work() ? GstOmniRound::busy : GstOmniRound::idle;
    } catch (const omni::Error& e) {
      if (e.code() != omni::ErrorCode::cancelled) throw;
      return GstOmniRound::cancelled;
    }
  });
}
