"""Settings of the estimator, apart from it: who only passes them on need not load the network's libraries."""

from __future__ import annotations

from dataclasses import dataclass

from ros2_multihmr.settings import Settings, setting


@dataclass(frozen=True)
class EstimatorConfig(Settings):
    """Settings of the estimator."""

    weights: str = setting(
        "",
        "File with the network's weights; empty: those that come with the package; untrained: a stand-in, for trying",
    )
    body_models: str = setting(
        "", "Folder with body-model files of your own (SMPL-X); empty: ~/.local/share/multihmr/body_models"
    )
    device: str = setting("auto", "Where the network runs: auto, cpu, cuda or cuda:<number>")
    backend: str = setting(
        "auto",
        "What runs the network; auto: by the weights' file",
        choices=("auto", "torch", "onnxruntime", "tensorrt"),
    )
    precision: str = setting(
        "auto",
        "Of the network's backbone; auto: float32, or an exported file's own",
        choices=("auto", "float32", "float16", "bfloat16"),
    )
    padding: str = setting(
        "auto",
        "What is computed of images that are no squares: square: padded with black; cut: without the tokens of the "
        "padding; auto: as the weights are meant",
        choices=("auto", "square", "cut"),
    )
    engine_cache: str = setting(
        "", "Folder where backend tensorrt keeps what it built for this GPU; empty: ~/.cache/multihmr/tensorrt"
    )
    cuda_graphs: bool = setting(
        False, "Launch the network as one CUDA graph for each shape of images; of weights, on a GPU"
    )
    compile: bool = setting(
        False, "Let torch.compile make kernels for the backbone, which takes the first image of a shape a minute or so"
    )
    blocks: str = setting(
        "auto",
        "How a CPU computes the backbone's blocks; auto: the first of the others that it has; of weights",
        choices=("auto", "tiles", "packed", "plain"),
    )
    threads: int = setting(0, "CPU threads of the network; 0: as many as the machine offers", low=0, high=1024)
    detection_threshold: float = setting(0.3, "Score from which a person counts", low=0.0, high=1.0, runtime=True)
    nms_kernel: int = setting(3, "Side of the window that keeps only its best detection [tokens]", low=1, high=15)
    max_humans: int = setting(20, "Most people in one image; the best scores stay", low=1, high=200)
    fallback_fov_deg: float = setting(
        60.0, "Field of view along the longer side of uncalibrated images [deg]", low=1.0, high=179.0, runtime=True
    )
    position_sigma_px: float = setting(
        0.0,
        "Standard deviation of a person's place in the image [px]; 0: as measured for the weights",
        low=0.0,
        high=1000.0,
        runtime=True,
    )
    depth_sigma: float = setting(
        0.0,
        "Standard deviation of a person's distance, as a fraction of it; 0: as measured for the weights",
        low=0.0,
        high=10.0,
        runtime=True,
    )
