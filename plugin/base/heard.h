/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_BASE_HEARD_H
#define PLUGIN_BASE_HEARD_H
/* How much of a spoken text was heard before it was cut off. Pure; any thread. */
#include "plugin/base/str.h"

#define HEARD_CHARS_PER_S 15u /* speech whose length nobody tells */

/* Characters (not bytes) of a text. */
uint64_t heard_chars(struct str s);

/*
 * What was heard of a text: its first heard_ms / audio_ms characters, back to the end of a word, at
 * the boundary of a UTF-8 sequence; a slice of text. audio_ms 0: 15 characters a second. Scripts
 * that are written without blanks are cut between characters.
 */
struct str heard_text(struct str text, uint64_t heard_ms, uint64_t audio_ms);

#endif
