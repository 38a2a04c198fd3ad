"""Papers and programs behind a model, as BibTeX."""

GRPO = """@misc{shao2024deepseekmath,
  title = {{DeepSeekMath}: Pushing the Limits of Mathematical Reasoning in Open Language Models},
  author = {Shao, Zhihong and Wang, Peiyi and Zhu, Qihao and Xu, Runxin and Song, Junxiao and others},
  year = {2024},
  eprint = {2402.03300},
  archivePrefix = {arXiv}
}"""
LORA = """@misc{hu2021lora,
  title = {{LoRA}: Low-Rank Adaptation of Large Language Models},
  author = {Hu, Edward J. and Shen, Yelong and Wallis, Phillip and Allen-Zhu, Zeyuan and others},
  year = {2021},
  eprint = {2106.09685},
  archivePrefix = {arXiv}
}"""
QLORA = """@misc{dettmers2023qlora,
  title = {{QLoRA}: Efficient Finetuning of Quantized {LLMs}},
  author = {Dettmers, Tim and Pagnoni, Artidoro and Holtzman, Ari and Zettlemoyer, Luke},
  year = {2023},
  eprint = {2305.14314},
  archivePrefix = {arXiv}
}"""
TRL = """@misc{vonwerra2020trl,
  title = {{TRL}: Transformer Reinforcement Learning},
  author = {von Werra, Leandro and Belkada, Younes and Tunstall, Lewis and Beeching, Edward and others},
  year = {2020},
  howpublished = {https://github.com/huggingface/trl}
}"""
