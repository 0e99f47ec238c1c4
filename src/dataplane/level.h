/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The files pipeline*.c are compiled once for each CPU level (x86-64-v2, the baseline, and v3),
 * with PIPELINE_LEVEL at the end of every name that they share. pipeline_level.c chooses at the
 * first call. Elsewhere there is one level.
 */
#ifndef FLUXPIN_LEVEL_H
#define FLUXPIN_LEVEL_H

#ifdef PIPELINE_LEVEL

#define LEVEL_JOIN(name, level) name##level
#define LEVEL_NAME(name, level) LEVEL_JOIN(name, level)
#define LEVEL(name)		LEVEL_NAME(name##_, PIPELINE_LEVEL)

#define pipeline_run		   LEVEL(pipeline_run)
#define pipeline_finish		   LEVEL(pipeline_finish)
#define pipeline_trace		   LEVEL(pipeline_trace)
#define pipeline_classify	   LEVEL(pipeline_classify)
#define pipeline_match		   LEVEL(pipeline_match)
#define pipeline_match_icmp	   LEVEL(pipeline_match_icmp)
#define pipeline_read_packet	   LEVEL(pipeline_read_packet)
#define pipeline_match_fragment	   LEVEL(pipeline_match_fragment)
#define pipeline_place_fragment	   LEVEL(pipeline_place_fragment)
#define pipeline_relay_too_big	   LEVEL(pipeline_relay_too_big)
#define pipeline_count_match	   LEVEL(pipeline_count_match)
#define pipeline_hash		   LEVEL(pipeline_hash)
#define pipeline_decapsulate	   LEVEL(pipeline_decapsulate)
#define pipeline_check_addresses   LEVEL(pipeline_check_addresses)
#define pipeline_hand_over	   LEVEL(pipeline_hand_over)
#define pipeline_next_worker	   LEVEL(pipeline_next_worker)
#define pipeline_look_for_fragment LEVEL(pipeline_look_for_fragment)
#define pipeline_take_handed_over  LEVEL(pipeline_take_handed_over)
#define pipeline_expire_fragments  LEVEL(pipeline_expire_fragments)
#define pipeline_drop_fragments	   LEVEL(pipeline_drop_fragments)
#define pipeline_look_ahead	   LEVEL(pipeline_look_ahead)
#define pipeline_select		   LEVEL(pipeline_select)
#define pipeline_find_current	   LEVEL(pipeline_find_current)
#define pipeline_select_flow	   LEVEL(pipeline_select_flow)
#define pipeline_encapsulate	   LEVEL(pipeline_encapsulate)
#define pipeline_exceeds_mtu	   LEVEL(pipeline_exceeds_mtu)
#define pipeline_send		   LEVEL(pipeline_send)
#define pipeline_receive_limit	   LEVEL(pipeline_receive_limit)
#define pipeline_adopt_settings	   LEVEL(pipeline_adopt_settings)

#elif defined(PIPELINE_LEVELS)

#define pipeline_run pipeline_run_baseline

#endif

#endif
