# What is installed beside the plugin, the library and its headers (runtime/ and plugins/ say those), how it is taken away again, and the Debian package.
set(share ${CMAKE_INSTALL_DATADIR}/gst-omni)
install(DIRECTORY models/nano DESTINATION ${share}/models)
install(DIRECTORY pipelines DESTINATION ${share} FILES_MATCHING PATTERN "*.pipeline")
install(DIRECTORY examples DESTINATION ${share} PATTERN CMakeLists.txt EXCLUDE)
foreach(tool run info fetch-model)
  install(PROGRAMS tools/${tool} DESTINATION ${CMAKE_INSTALL_BINDIR} RENAME omni-${tool})
endforeach()
install(DIRECTORY docs/man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)
install(FILES models/silero-vad/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright.silero-vad)
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.md" PATTERN man EXCLUDE)

add_custom_target(uninstall COMMAND ${CMAKE_COMMAND} -D MANIFEST=${CMAKE_BINARY_DIR}/install_manifest.txt -P ${CMAKE_CURRENT_LIST_DIR}/uninstall.cmake VERBATIM)

# cmake --preset deb && cmake --build --preset deb && cpack --config build-deb/CPackConfig.cmake
# makes gst-omni_VERSION_ARCHITECTURE.deb, for the release of Debian or Ubuntu that it is made on.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME gst-omni)
set(CPACK_PACKAGE_CONTACT ${OMNI_CONTACT})
set(CPACK_PACKAGE_DESCRIPTION_FILE ${CMAKE_SOURCE_DIR}/cmake/package-description.txt)
set(CPACK_SET_DESTDIR ON)  # the plugin's folder is GStreamer's, an absolute path
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE "")
set(CPACK_DEBIAN_PACKAGE_SECTION video)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${CMAKE_BINARY_DIR}/runtime)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)  # and ldconfig's trigger with them
set(CPACK_DEBIAN_PACKAGE_DEPENDS gstreamer1.0-plugins-base)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "gstreamer1.0-tools, gstreamer1.0-plugins-good, gstreamer1.0-plugins-bad, gstreamer1.0-plugins-ugly, gstreamer1.0-libav")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "python3-pip, libicu-dev, libpcre2-dev, libutf8proc-dev")
include(CPack)
