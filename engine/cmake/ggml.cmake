# Included by ggml's own CMakeLists.txt after its project() line (CMAKE_PROJECT_ggml_INCLUDE in
# .cargo/config.toml).
#
# GCC declares that `_tile_loadconfig` reads 8 of the 64 bytes it is given (seen in the header of
# GCC 12), so the optimizer drops the stores to the others, the tiles get no rows, and the first
# tile instruction dies of SIGILL. Keeping such stores costs nothing that shows.
function(autotune_keep_stores)
    if(TARGET ggml-cpu-sapphirerapids)
        target_compile_options(ggml-cpu-sapphirerapids PRIVATE -fno-dse)
    endif()
endfunction()

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_VERSION VERSION_GREATER_EQUAL 3.19)
    # The targets are there when the rest of the file has been read.
    cmake_language(DEFER CALL autotune_keep_stores)
endif()
