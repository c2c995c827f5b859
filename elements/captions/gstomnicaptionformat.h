// The element omnicaptionformat.
#pragma once

#include <gst/gst.h>

GST_ELEMENT_REGISTER_DECLARE(omnicaptionformat)
