/* SPDX-License-Identifier: MIT */
#ifndef SESSIONS_NUMBER_H
#define SESSIONS_NUMBER_H
/*
 * What is known of a telephone number by its digits: whether it is an emergency, short or premium-rate
 * number, and which time zones it may be in. From tables of Google's libphonenumber that the build derives
 * and that are constant in the program. Pure; any thread.
 */
#include "plugin/base/str.h"

#define NUMBER_ZONES_MAX 64u

enum number_kind { /* the table's order, too */
    NUMBER_PLAIN = 0,
    NUMBER_UNASSIGNED, /* no country has its code, or it is no number at all */
    NUMBER_PREMIUM,    /* premium rate, as getType() of libphonenumber says */
    NUMBER_EMERGENCY,  /* an emergency number behind the country's code, with or without digits behind it */
    NUMBER_SHORT,      /* another short number of the country behind its code, such as directory enquiries */
    NUMBER_SPECIAL     /* satellites and networks without a country: +808 870 878 881 882 883 888 979 */
};

/*
 * number: '+' and 1 to 15 digits. A number that the plan of its country has as an ordinary one is none of
 * the others, even if it begins like an emergency number. A national prefix behind the country's code
 * (+49 0 900...) does not hide a premium or emergency number.
 */
enum number_kind number_kind_of(struct str number);
/*
 * Names of the IANA time zones in which the number may be (Google's map, longest prefix) into names[cap]; static
 * texts. How many there are: 0 where the prefix says nothing, as for +800; at most NUMBER_ZONES_MAX.
 */
unsigned number_zones(struct str number, const char **names, unsigned cap);
/* Whether the two letters are a country (ISO 3166) whose numbers are known. */
bool number_country_known(struct str country);

#endif
