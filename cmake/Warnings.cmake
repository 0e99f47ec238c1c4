# SPDX-License-Identifier: BSD-2-Clause
# The flags that every target of fluxpin is compiled with. Releases use the x86-64-v2 baseline,
# so that one package runs on every server of the last fifteen years.
add_library(fluxpin_flags INTERFACE)
target_include_directories(fluxpin_flags INTERFACE ${PROJECT_SOURCE_DIR}/include)
target_compile_definitions(fluxpin_flags INTERFACE _GNU_SOURCE FLUXPIN_VERSION="${PROJECT_VERSION}")
target_compile_options(fluxpin_flags INTERFACE
	-Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
	-fno-strict-aliasing -fno-omit-frame-pointer)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
	# A target may have another level, in its property FLUXPIN_LEVEL.
	set(level $<TARGET_PROPERTY:FLUXPIN_LEVEL>)
	target_compile_options(fluxpin_flags INTERFACE
		-march=$<IF:$<BOOL:${level}>,${level},x86-64-v2>)
endif()
if(FLUXPIN_WERROR)
	target_compile_options(fluxpin_flags INTERFACE -Werror)
endif()
if(FLUXPIN_LEDGER)
	target_compile_definitions(fluxpin_flags INTERFACE FLUXPIN_LEDGER)
endif()
if(FLUXPIN_SANITIZE)
	target_compile_options(fluxpin_flags INTERFACE
		-fsanitize=${FLUXPIN_SANITIZE} -fno-sanitize-recover=all)
	target_link_options(fluxpin_flags INTERFACE -fsanitize=${FLUXPIN_SANITIZE})
endif()
if(FLUXPIN_COVERAGE)
	# Workers count the same lines at the same time.
	target_compile_options(fluxpin_flags INTERFACE --coverage -fprofile-update=atomic)
	target_link_options(fluxpin_flags INTERFACE --coverage)
endif()
