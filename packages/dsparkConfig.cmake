include(${CMAKE_CURRENT_LIST_DIR}/dsparkTargets.cmake)
