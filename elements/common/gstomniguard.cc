#include "common/gstomniguard.h"

void gst_omni_post_error(GstElement* element, const omni::Error& error) {
  const char* what = error.what();
  switch (error.code()) {
    case omni::ErrorCode::not_found:
      GST_ELEMENT_ERROR(element, RESOURCE, NOT_FOUND, ("%s", what), (nullptr));
      break;
    case omni::ErrorCode::corrupt_file:
      GST_ELEMENT_ERROR(element, STREAM, DECODE, ("%s", what), (nullptr));
      break;
    case omni::ErrorCode::unsupported:
      GST_ELEMENT_ERROR(element, STREAM, WRONG_TYPE, ("%s", what), (nullptr));
      break;
    case omni::ErrorCode::invalid_argument:
      GST_ELEMENT_ERROR(element, LIBRARY, SETTINGS, ("%s", what), (nullptr));
      break;
    case omni::ErrorCode::out_of_memory:
      GST_ELEMENT_ERROR(element, RESOURCE, NO_SPACE_LEFT, ("%s", what), (nullptr));
      break;
    case omni::ErrorCode::device:
      GST_ELEMENT_ERROR(element, RESOURCE, FAILED, ("%s", what), (nullptr));
      break;
    case omni::ErrorCode::internal:
      GST_ELEMENT_ERROR(element, LIBRARY, FAILED, ("%s", what), (nullptr));
      break;
    case omni::ErrorCode::cancelled:
      break;
  }
}
