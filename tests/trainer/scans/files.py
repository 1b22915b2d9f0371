"""Small files of every format that the reader knows, written from one pattern of counts."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable

import numpy as np

START, STEP, N = 10.0, 0.02, 400
X = START + STEP * np.arange(N)
COUNTS = np.random.default_rng(0).poisson(
    100 + 900 * np.exp(-0.5 * ((X - 12.5) / 0.06) ** 2) + 500 * np.exp(-0.5 * ((X - 15.2) / 0.06) ** 2)
)
ALPHA1, ALPHA2, RATIO = 1.5405929, 1.5444274, 0.497
SECONDS = 1.5


def text(value: str, size: int) -> bytes:
    return value.encode("latin-1").ljust(size, b"\0")


def floats(values: np.ndarray = COUNTS) -> bytes:
    return values.astype("<f4").tobytes()


def put(target: bytearray, at: int, code: str, *values: float) -> None:
    struct.pack_into("<" + code, target, at, *values)


def bruker_1(ranges: int = 1) -> bytes:
    head = bytearray(152)
    put(head, 0, "Iff", N, SECONDS, STEP)
    put(head, 68, "ff", ALPHA1, ALPHA2)
    head[36:68] = text("halite", 32)
    whole = b"RAW "
    for number in range(ranges):
        put(head, 20, "f", START + number * STEP * N)
        put(head, 148, "I", ranges - 1 - number)
        whole += bytes(head) + floats()
    return whole


def bruker_2(ranges: int = 1) -> bytes:
    head = bytearray(256)
    head[:4] = b"RAW2"
    put(head, 4, "H", ranges)
    head[8:40], head[188:190] = text("halite", 32), b"Cu"
    put(head, 190, "fff", ALPHA1, ALPHA2, RATIO)
    for number in range(ranges):
        own = bytearray(60)
        put(own, 0, "HH", 60, N)
        put(own, 8, "fff", SECONDS, STEP, START + number * STEP * N)
        head += own + floats()
    return bytes(head)


def bruker_3(ranges: int = 1, seconds: tuple[float, ...] = (), kind: int = 0, varying: bool = False) -> bytes:
    head = bytearray(712)
    head[:7] = b"RAW1.01"
    put(head, 8, "II", 1, ranges)
    head[326:386], head[608:612] = text("halite", 60), text("Cu", 4)
    put(head, 624, "dd", ALPHA1, ALPHA2)
    put(head, 648, "d", RATIO)
    for number in range(ranges):
        own = bytearray(304)
        start = START + number * STEP * N
        put(own, 0, "IIdd", 304, N, start / 2, start)
        put(own, 176, "d", STEP)
        put(own, 192, "f", seconds[number] if seconds else SECONDS)
        put(own, 196, "I", kind)
        put(own, 248, "III", int(varying), 12 if varying else 4, 40)
        body = floats()
        if varying:
            body = b"".join(struct.pack("<fd", c, x + 0.001) for x, c in zip(X, COUNTS, strict=True))
        head += own + bytes(40) + body
    return bytes(head)


def bruker_4(ranges: int = 1, scan: str = "Locked Coupled", axis: float | None = None) -> bytes:
    head = bytearray(61)
    head[:7] = b"RAW4.00"
    name = b"halite\n"
    head += struct.pack("<III", 10, 36 + len(name), 0) + text("SAMPLEID", 24) + name
    tube = bytearray(136)
    put(tube, 0, "II", 30, 136)
    put(tube, 80, "dd", ALPHA1, ALPHA2)
    put(tube, 104, "d", RATIO)
    tube[116:120] = text("Cu", 4)
    head += tube + struct.pack("<II", 60, 80) + bytes(72)
    for number in range(ranges):
        start = START + number * STEP * N
        drive = struct.pack("<III", 50, 64, 0) + text("2Theta", 24) + bytes(20)
        drive += struct.pack("<d", start if axis is None else axis)
        own = bytearray(160)
        own[32:56] = text(scan, 24)
        put(own, 72, "ddIf", start, STEP, N, SECONDS)
        put(own, 136, "II", 4, len(drive))
        head += own + drive + floats()
    return bytes(head)


def stoe(short: bool = False, history: int = 0, monochromator: int = 0, scan: int = 3) -> bytes:
    head = bytearray(4 * 512)
    head[:14], head[0x20:0x70] = b"RAW_1.06Powdat", text("halite", 80)
    put(head, 0x134, "HH", monochromator, 3)
    put(head, 0x142, "ff", ALPHA1, ALPHA2)
    put(head, 0x168, "H", scan)
    put(head, 0x178, "HH", 1, 1)
    put(head, 0x1D2, "I", N)
    put(head, 0x1D6, "H", 1)
    put(head, 0x1E0, "H", 5)
    own = bytearray(512)
    put(own, 0x22, "H", N)
    put(own, 0x26, "H", int(short))
    put(own, 0x2C, "ffffff", START, START / 2, X[-1], X[-1] / 2, STEP, STEP / 2)
    put(own, 0x44, "f", SECONDS)
    put(own, 0x7A, "H", history)
    body = COUNTS.astype("<i2" if short else "<i4").tobytes()
    return bytes(head + own) + body + bytes(-len(body) % 512)


def philips_rd() -> bytes:
    head = bytearray(250)
    head[:4], head[146:166] = b"V3RD", text("halite", 20)
    put(head, 214, "ddd", STEP, START, X[-1])
    return bytes(head) + np.ceil(10 * np.sqrt(COUNTS)).astype("<u2").tobytes()


def philips_udf(counts: np.ndarray = COUNTS) -> bytes:
    lines = [
        "SampleIdent,halite ,/",
        "Anode, Cu,/",
        f"LabdaAlpha1, {ALPHA1},/",
        f"LabdaAlpha2, {ALPHA2},/",
        f"RatioAlpha21, {RATIO},/",
        f"DataAngleRange, {START:.4f}, {X[-1]:.4f},/",
        f"ScanStepSize, {STEP:.3f},/",
        f"ScanStepTime, {SECONDS},/",
        "RawScan",
    ]
    body = [", ".join(f"{c:8d}" for c in counts[k : k + 8]) for k in range(0, len(counts), 8)]
    return ("\r\n".join([*lines, *body]) + "/\r\n").encode()


def uxd(kind: str = "_COUNTS", ranges: int = 1) -> bytes:
    lines = [
        "; converted",
        "_FILEVERSION=2",
        "_SAMPLE='halite'",
        f"_WL1={ALPHA1}",
        f"_WL2={ALPHA2}",
        f"_WLRATIO={RATIO}",
        "_ANODE='Cu'",
    ]
    for number in range(ranges):
        start = START + number * STEP * N
        lines += ["_DRIVE='COUPLED'", f"_STEPTIME={SECONDS}", f"_STEPSIZE={STEP}", f"_START={start}", kind]
        if kind.startswith("_2THETA"):
            lines += [f"{x + number * STEP * N:.4f} {c}" for x, c in zip(X, COUNTS, strict=True)]
        else:
            lines += [" ".join(f"{c:9d}" for c in COUNTS[k : k + 8]) for k in range(0, N, 8)]
    return "\r\n".join(lines).encode()


def xrdml(
    version: str = "1.5", axis: str = "Gonio", points: str = "", attenuation: str = "", monochromator: str = ""
) -> bytes:
    tag = "counts" if version.startswith("2") else "intensities"
    positions = points or f"<startPosition>{START}</startPosition><endPosition>{X[-1]}</endPosition>"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<xrdMeasurements xmlns="http://www.xrdml.com/XRDMeasurement/{version}" status="Completed">
<sample type="To be analyzed"><id>1</id><name>halite</name></sample>
<xrdMeasurement measurementType="Scan"><usedWavelength intended="K-Alpha 1">
<kAlpha1 unit="Angstrom">{ALPHA1}</kAlpha1><kAlpha2 unit="Angstrom">{ALPHA2}</kAlpha2>
<ratioKAlpha2KAlpha1>{RATIO}</ratioKAlpha2KAlpha1></usedWavelength>
<incidentBeamPath>{monochromator}<xRayTube><anodeMaterial>Cu</anodeMaterial></xRayTube></incidentBeamPath>
<scan scanAxis="{axis}" status="Completed"><dataPoints><positions axis="2Theta" unit="deg">{positions}</positions>
<positions axis="Omega" unit="deg"><commonPosition>5</commonPosition></positions>
<commonCountingTime unit="seconds">{SECONDS}</commonCountingTime>{attenuation}
<{tag} unit="counts">{" ".join(map(str, COUNTS))}</{tag}></dataPoints></scan></xrdMeasurement>
</xrdMeasurements>""".encode()


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def brml(folder: str = "", axis: str = "TwoTheta", absorbers: tuple[str, ...] = ("1",), crystal: str = "") -> bytes:
    points = zip(X, COUNTS, np.resize(absorbers, N), strict=True)
    data = "".join(f"<Datum>{SECONDS},{a},{x:.4f},{x / 2:.4f},{c}</Datum>" for x, c, a in points)
    optics = f'<BeringInfo ObjectPath="/PrimaryTrack/O" ClassPath="/Optic/Monochromator/{crystal}"/>' if crystal else ""
    raw = f"""<?xml version="1.0"?><RawData xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><DataRoutes>
<DataRoute RouteFlag="Measured"><ScanInformation ScanName="LockedCoupled"><ScanAxes>
<ScanAxisInfo AxisId="{axis}" Unit="deg"><Start>{START}</Start><Stop>{X[-1]}</Stop><Increment>{STEP}</Increment>
</ScanAxisInfo></ScanAxes></ScanInformation>{data}<DataViews>
<RawDataView Start="0" Length="1" LogicName="MeasuredTime"/><RawDataView Start="1" LogicName="AbsorptionFactor"/>
<RawDataView Start="2" Length="2"><Varying><FieldDefinitions FieldName="TwoTheta" AxisId="TwoTheta"/>
<FieldDefinitions FieldName="Theta" AxisId="Theta"/></Varying></RawDataView>
<RawDataView Start="4" Length="1"><Recording><Unit Base="Counts"/><Size><X>1</X><Y>1</Y></Size></Recording>
</RawDataView>
</DataViews></DataRoute></DataRoutes><FixedInformation>{optics}<InfoItem Name="SampleName" Value="halite"/>
<Tube><WaveLengthAlpha1 Value="{ALPHA1}"/><WaveLengthAlpha2 Value="{ALPHA2}"/><WaveLengthRatio Value="{RATIO}"/>
<TubeMaterial>Cu</TubeMaterial></Tube></FixedInformation></RawData>"""
    return zipped(
        {f"{folder}Experiment0/RawData0.xml": raw.encode(), f"{folder}Experiment0/DataContainer.xml": b"<a/>"}
    )


def ras_head(axis: str, unit: str, wave: str) -> list[str]:
    return [
        "*RAS_HEADER_START",
        '*FILE_SAMPLE "halite"',
        '*FILE_COMMENT "\u6e2c\u5b9a"',
        '*HW_XG_TARGET_NAME "Cu"',
        f'*HW_XG_WAVE_LENGTH_ALPHA1 "{ALPHA1}"',
        f'*HW_XG_WAVE_LENGTH_ALPHA2 "{ALPHA2}"',
        f'*MEAS_COND_XG_WAVE_TYPE "{wave}"',
        f'*MEAS_SCAN_AXIS_X_INTERNAL "{axis}"',
        f'*MEAS_SCAN_STEP "{STEP}"',
        f'*MEAS_SCAN_SPEED "{STEP / SECONDS * 60}"',
        '*MEAS_SCAN_SPEED_UNIT "deg/min"',
        f'*MEAS_SCAN_UNIT_Y "{unit}"',
        f'*MEAS_DATA_COUNT "{N}.0000000"',
        "*RAS_HEADER_END",
    ]


def ras(axis: str = "TwoThetaTheta", unit: str = "counts", wave: str = "Ka", attenuation: float = 1.0) -> bytes:
    points = [f"{x:.4f} {c:.4f} {attenuation:.4f}" for x, c in zip(X, COUNTS, strict=True)]
    lines = ["*RAS_DATA_START", *ras_head(axis, unit, wave), "*RAS_INT_START", *points, "*RAS_INT_END", "*RAS_DATA_END"]
    return "\r\n".join(lines).encode("shift_jis")


def rasx(wave: str = "Ka") -> bytes:
    points = "".join(f"{x:.4f}\t{c}\t1\r\n" for x, c in zip(X, COUNTS, strict=True))
    conditions = f"""<?xml version="1.0" encoding="utf-8"?><MeasurementConditions><SampleName>halite</SampleName>
<XrayGenerator><TargetName>Cu</TargetName><WaveType>{wave}</WaveType><WavelengthKalpha1>{ALPHA1}</WavelengthKalpha1>
<WavelengthKalpha2>{ALPHA2}</WavelengthKalpha2></XrayGenerator><ScanInformation><AxisName>TwoTheta</AxisName>
<Step>{STEP}</Step><Speed>{STEP / SECONDS * 60}</Speed><SpeedUnit>deg/min</SpeedUnit>
<IntensityUnit>counts</IntensityUnit><DataCount>{N}</DataCount></ScanInformation></MeasurementConditions>"""
    return zipped(
        {
            "Data0/Profile0.txt": b"\xef\xbb\xbf" + points.encode(),
            "Data0/MesurementConditions0.xml": conditions.encode(),
            "root.xml": b"<Root/>",
        }
    )


def pdcif(loop: str = "_pd_meas_2theta_scan _pd_meas_counts_total", probe: str = "x-ray") -> bytes:
    angles = "_2theta" in loop
    rows = "\n".join(f"{x:.4f} {c}" if angles else f"{c}" for x, c in zip(X, COUNTS, strict=True))
    limits = "" if angles else f"_pd_meas_2theta_range_min {START}\n_pd_meas_2theta_range_max {X[-1]}\n"
    limits += "" if angles else f"_pd_meas_2theta_range_inc {STEP}\n"
    loops = "\n".join(loop.split())
    return f"""# a comment
data_halite
_diffrn_radiation_probe {probe}
_pd_spec_description 'halite'
_pd_meas_step_count_time {SECONDS}
_publ_section_comment
;
loop_ of nothing
;
{limits}loop_
_diffrn_radiation_wavelength
_diffrn_radiation_wavelength_wt
{ALPHA1} 1.0
{ALPHA2} {RATIO}
loop_
{loops}
{rows}
""".encode()


def rruff(kind: str = "RAW", wavelength: str = "") -> bytes:
    head = ["##NAMES=halite", "##RRUFFID=R000000", "##IDEAL CHEMISTRY=NaCl", f"##FILETYPE={kind}"]
    head += [f"##X-RAY WAVELENGTH={wavelength}"] if wavelength else []
    rows = [f"{x:.3f}, {c:.3f}" for x, c in zip(X, COUNTS, strict=True)]
    return "\n".join([*head, *rows, "", "##END="]).encode()


def opxrd(simulated: bool = False) -> bytes:
    label = {
        "phases": [],
        "xray_info": json.dumps({"primary_wavelength": str(ALPHA1), "secondary_wavelength": None}),
        "is_simulated": simulated,
    }
    content = {
        "two_theta_values": X.tolist(),
        "intensities": COUNTS.astype(float).tolist(),
        "label": json.dumps(label),
        "metadata": json.dumps({"filename": "halite"}),
    }
    return json.dumps(content).encode()


def columns() -> bytes:
    return "\n".join(f"{x:.4f} {c}" for x, c in zip(X, COUNTS, strict=True)).encode()


EVERY_FORMAT: dict[str, Callable[[], bytes]] = {
    "1.raw": bruker_1,
    "2.raw": bruker_2,
    "3.raw": bruker_3,
    "4.raw": bruker_4,
    "stoe.raw": stoe,
    "a.rd": philips_rd,
    "a.udf": philips_udf,
    "a.uxd": uxd,
    "a.xrdml": xrdml,
    "a.brml": brml,
    "a.ras": ras,
    "a.rasx": rasx,
    "a.cif": pdcif,
    "rruff.txt": rruff,
    "a.json": opxrd,
    "a.xy": columns,
}
"""The names stand apart from the content: the reader goes by content first."""
