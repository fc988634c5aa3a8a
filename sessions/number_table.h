/* SPDX-License-Identifier: MIT */
#ifndef SESSIONS_NUMBER_TABLE_H
#define SESSIONS_NUMBER_TABLE_H
/*
 * The tables behind sessions/number.c, generated at build (scripts/gen-numbers.mjs, which says what they are
 * made from). Constant; nobody else includes this.
 */
#include <stdint.h>

/* A state of the automaton over the digits behind '+'. */
struct number_state {
    uint16_t exceptions; /* where in number_exceptions those of this state begin */
    uint16_t usual;      /* where digits lead that have no exception */
    uint16_t mask;       /* the digits that have one, in rising order */
    uint8_t kind;        /* of a number that ends here: enum number_kind */
};

struct number_zone_prefix { /* rising */
    uint32_t digits;
    uint16_t set;
};

extern const struct number_state number_states[];
extern const uint16_t number_exceptions[];
extern const unsigned number_first;

extern const struct number_zone_prefix number_zone_prefixes[];
extern const unsigned number_zone_prefixes_n;
extern const uint16_t number_zone_sets[];    /* where in number_zone_members a set begins; one more at the end */
extern const uint16_t number_zone_members[]; /* indices of names */
extern const char *const number_zone_names[];
extern const char number_countries[]; /* ISO 3166 codes, two letters each */

#endif
