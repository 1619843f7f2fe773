# Defines the imported target `libwebsockets`: the one in LIBWEBSOCKETS_ROOT
# when given, else the system's when it is new enough, else our own build.
set(lws_minimum 4.3)
set(lws_own ${CMAKE_CURRENT_SOURCE_DIR}/.deps/libwebsockets)

function(lws_from_prefix prefix)
  set(config ${prefix}/include/lws_config.h)
  set(version 0)
  if(EXISTS ${config})
    file(STRINGS ${config} line REGEX "#define LWS_LIBRARY_VERSION[ \t]")
    string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" version "${line}")
  endif()
  find_library(lws_file NAMES libwebsockets.a websockets NO_CACHE
               PATHS ${prefix} PATH_SUFFIXES lib lib64 NO_DEFAULT_PATH)
  if(NOT lws_file OR version VERSION_LESS lws_minimum)
    message(FATAL_ERROR
      "No libwebsockets >= ${lws_minimum} in ${prefix} (version there: "
      "${version}, library: ${lws_file}).")
  endif()
  message(STATUS "libwebsockets ${version}: ${lws_file}")
  add_library(libwebsockets UNKNOWN IMPORTED GLOBAL)
  set_target_properties(libwebsockets PROPERTIES
    IMPORTED_LOCATION ${lws_file}
    INTERFACE_INCLUDE_DIRECTORIES ${prefix}/include
    INTERFACE_LINK_LIBRARIES "OpenSSL::SSL;OpenSSL::Crypto;Threads::Threads;m")
endfunction()

if(NOT LIBWEBSOCKETS_ROOT)
  find_package(PkgConfig QUIET)
  if(PkgConfig_FOUND)
    pkg_check_modules(LWS QUIET IMPORTED_TARGET "libwebsockets>=${lws_minimum}")
  endif()
endif()

if(LIBWEBSOCKETS_ROOT)
  lws_from_prefix(${LIBWEBSOCKETS_ROOT})
elseif(TARGET PkgConfig::LWS)
  message(STATUS "libwebsockets ${LWS_VERSION}: the system's")
  add_library(libwebsockets ALIAS PkgConfig::LWS)
elseif(EXISTS ${lws_own})
  lws_from_prefix(${lws_own})
else()
  message(FATAL_ERROR
    "wssend needs libwebsockets >= ${lws_minimum}, and this system has none. "
    "Either install it (Debian 13: apt-get install libwebsockets-dev), or run "
    "scripts/build-libwebsockets in the source tree, which builds a static "
    "one, or set WSSEND_LWS_ROOT to the prefix where you have it.")
endif()
