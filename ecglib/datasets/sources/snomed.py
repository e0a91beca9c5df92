"""SNOMED CT codes of ECG statements, as the PhysioNet Challenge 2021 scored them.

Reyna MA et al. Will two do? Varying dimensions in electrocardiography: the PhysioNet/Computing in
Cardiology Challenge 2021. CinC 48 (2021). The abbreviations are the Challenge's.
"""

SCORED = {
    "164889003": "AF",
    "164890007": "AFL",
    "6374002": "BBB",
    "426627000": "Brady",
    "733534002": "CLBBB",
    "713427006": "CRBBB",
    "270492004": "IAVB",
    "713426002": "IRBBB",
    "39732003": "LAD",
    "445118002": "LAnFB",
    "164909002": "LBBB",
    "251146004": "LQRSV",
    "698252002": "NSIVCB",
    "426783006": "NSR",
    "284470004": "PAC",
    "10370003": "PR",
    "365413008": "PRWP",
    "427172004": "PVC",
    "164947007": "LPR",
    "111975006": "LQT",
    "164917005": "QAb",
    "47665007": "RAD",
    "59118001": "RBBB",
    "427393009": "SA",
    "426177001": "SB",
    "427084000": "STach",
    "63593006": "SVPB",
    "164934002": "TAb",
    "59931005": "TInv",
    "17338001": "VPB",
}
# The Challenge counted each of these pairs as one diagnosis.
SAME = {
    "733534002": "164909002",
    "713427006": "59118001",
    "63593006": "284470004",
    "17338001": "427172004",
}


def find_scored_classes(codes: set[str]) -> dict[str, list[str]]:
    """Find the Challenge's classes among some codes.

    Parameters
    ----------
    codes : set of str
        SNOMED CT codes.

    Returns
    -------
    dict of str to list of str
        Abbreviation of each class -> its codes among `codes`, sorted by abbreviation.

    Examples
    --------
    >>> find_scored_classes({"713427006", "59118001", "164889003", "unknown"})
    {'AF': ['164889003'], 'RBBB': ['713427006', '59118001']}
    """
    classes: dict[str, list[str]] = {}
    for code, name in SCORED.items():
        if code in codes:
            classes.setdefault(SCORED[SAME[code]] if code in SAME else name, []).append(code)
    return dict(sorted(classes.items()))
