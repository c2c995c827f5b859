#include "cpu/panels.inl"

namespace omni::ops::cpu {
const Panels kAvx512Panels = OMNI_PANELS;
}
