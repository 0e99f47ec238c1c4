# SPDX-License-Identifier: BSD-2-Clause
# fluxpin_bpf_skeleton(NAME): compiles bpf/NAME.bpf.c with clang and turns the object into
# NAME.skel.h with bpftool, so that the program is part of the binary. Link the interface target
# fluxpin_NAME_skeleton to include it.
find_program(BPF_CLANG NAMES clang clang-14 clang-15 clang-16 REQUIRED)
find_program(BPFTOOL bpftool PATHS /usr/sbin /sbin REQUIRED)

function(fluxpin_bpf_skeleton name)
	set(source ${CMAKE_CURRENT_SOURCE_DIR}/${name}.bpf.c)
	set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.bpf.o)
	set(directory ${CMAKE_CURRENT_BINARY_DIR}/include)
	set(skeleton ${directory}/${name}.skel.h)
	file(GLOB headers ${CMAKE_CURRENT_SOURCE_DIR}/*.h)
	# The multiarch folder holds asm/types.h, which a bare "-target bpf" does not search.
	set(multiarch)
	if(CMAKE_LIBRARY_ARCHITECTURE)
		set(multiarch -I/usr/include/${CMAKE_LIBRARY_ARCHITECTURE})
	endif()
	add_custom_command(OUTPUT ${object}
		COMMAND ${BPF_CLANG} -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Werror
			${multiarch} -c ${source} -o ${object}
		DEPENDS ${source} ${headers} VERBATIM COMMENT "BPF ${name}.bpf.o")
	add_custom_command(OUTPUT ${skeleton}
		COMMAND ${CMAKE_COMMAND} -E make_directory ${directory}
		COMMAND sh -c "'${BPFTOOL}' gen skeleton '${object}' name ${name}_bpf > '${skeleton}.part' && mv '${skeleton}.part' '${skeleton}'"
		DEPENDS ${object} VERBATIM COMMENT "skeleton ${name}.skel.h")
	add_custom_target(fluxpin_${name}_skeleton_file DEPENDS ${skeleton})
	add_library(fluxpin_${name}_skeleton INTERFACE)
	add_dependencies(fluxpin_${name}_skeleton fluxpin_${name}_skeleton_file)
	target_include_directories(fluxpin_${name}_skeleton SYSTEM INTERFACE ${directory})
endfunction()
