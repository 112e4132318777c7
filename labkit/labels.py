"""The words of figures and reports in Chinese. Tables keep their columns: a Chinese character is two letters wide."""

from __future__ import annotations

CHINESE = {
    "epoch": "轮次",
    "training loss": "训练损失",
    "validation loss": "验证损失",
    "training accuracy": "训练准确率",
    "validation accuracy": "验证准确率",
    "validation precision": "验证精确率",
    "validation recall": "验证召回率",
    "validation F1": "验证 F1",
    "cross-entropy": "交叉熵",
    "predicted": "预测类别",
    "true": "真实类别",
    "row (step)": "行(时间步)",
    "pixel in the row": "行内像素",
    "words in a review": "评论的词数",
    "reviews": "评论数",
    "cut at": "截断于",
    "negative": "负面",
    "positive": "正面",
    "parameters": "参数量",
    "best epoch": "最佳轮次",
    "test accuracy": "测试准确率",
    "95 % interval": "95 % 区间",
    "precision": "精确率",
    "recall": "召回率",
    "training": "训练时间",
    "preset": "预设",
    "seed": "种子",
    "official data": "官方数据",
    "sample data": "示例数据",
    "training / validation / test examples": "训练 / 验证 / 测试样本",
    "Best model": "最佳模型",
    "SHA-256 of settings and data": "设置与数据的 SHA-256",
    "of the weights": "权重的 SHA-256",
    "supported": "成立",
    "contradicted": "被反驳",
    "equivalent": "无实质差别",
    "inconclusive": "尚无定论",
    "not run yet": "尚未运行",
    "validation accuracy at equal time": "相同时间内的验证准确率",
    "area under the training loss": "训练损失曲线下面积",
    "first training loss": "首轮训练损失",
    "last training loss": "末轮训练损失",
    "best validation accuracy": "最佳验证准确率",
    "validation accuracy in the first two epochs": "前两轮的验证准确率",
    "spread of validation accuracy": "验证准确率的波动",
    "spread of validation loss": "验证损失的波动",
    "rise of the validation loss from its lowest": "验证损失自最低点的回升",
    "log of the seconds an epoch": "每轮秒数的对数",
    "share of 4 and 9 in the errors, above the mean of the other pairs": "错误中 4 与 9 的占比,减去其他数字对的均值",
    "slope of the log gradient before training": "训练前对数梯度的斜率",
    "slope of the log gradient after training": "训练后对数梯度的斜率",
    "test precision": "测试精确率",
    "test recall": "测试召回率",
    "test F1": "测试 F1",
    "claim": "论断",
    "verdict": "判定",
    "difference": "差值",
    "margin": "界限",
    "seeds won": "胜出的种子",
    "budget": "预算",
    "device": "设备",
    "difference as claimed, in margins (grey: too small to matter; logarithmic beyond 3)": (
        "按论断方向的差值,以界限为单位(灰色:小到无关紧要;3 以外为对数)"
    ),
    "support": "样本数",
    "accuracy": "准确率",
    "macro avg": "宏平均",
    "weighted avg": "加权平均",
}


def word(english: str, lang: str) -> str:
    """Return a label in `en` or `zh`; one without a translation stays as it is."""
    if lang == "zh" and english.startswith("points that way"):  # with the number of seeds behind it
        return english.replace("points that way", "倾向成立")
    return CHINESE.get(english, english) if lang == "zh" else english


def table(text: str, lang: str) -> str:
    """Return a table of text with its known words translated and its columns where they were."""
    if lang == "zh":
        for english in sorted(CHINESE, key=len, reverse=True):
            missing = len(english) - sum(
                2 if ord(letter) > 0x2E80 else 1 for letter in CHINESE[english]
            )
            text = text.replace(english, " " * max(0, missing) + CHINESE[english])
    return text
