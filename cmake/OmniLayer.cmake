# omni_layer(NAME FOLDER [INCLUDES layer...] SOURCES file...)
#
# One folder = one target. Its headers are reachable as "<last part of FOLDER>/x.h", and only by the targets that list it under INCLUDES:
# an include against the arrows of docs/architecture.md does not compile.
function(omni_layer name folder)
  cmake_parse_arguments(LAYER "" "" "INCLUDES;SOURCES" ${ARGN})
  get_filename_component(leaf ${folder} NAME)
  set(root ${CMAKE_BINARY_DIR}/layers/${name})
  file(MAKE_DIRECTORY ${root})
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/${folder} ${root}/${leaf} SYMBOLIC)
  list(TRANSFORM LAYER_SOURCES PREPEND ${CMAKE_SOURCE_DIR}/${folder}/)
  add_library(${name} OBJECT ${LAYER_SOURCES})
  target_include_directories(${name} PRIVATE ${root} ${CMAKE_SOURCE_DIR}/runtime/include)
  omni_use_layers(${name} ${LAYER_INCLUDES})
  set_property(TARGET ${name} PROPERTY OMNI_LAYER_ROOT ${root})
endfunction()

# omni_use_layers(TARGET layer...): lets TARGET include the headers of these layers.
function(omni_use_layers target)
  foreach(layer ${ARGN})
    target_include_directories(${target} PRIVATE ${CMAKE_BINARY_DIR}/layers/${layer})
  endforeach()
endfunction()
